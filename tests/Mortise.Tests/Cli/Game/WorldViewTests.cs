using System.Text.RegularExpressions;
using Mortise.Cli.Talk.Playing;
using Xunit;

namespace Mortise.Tests.Cli.Game;

/// <summary>How `mortise play` draws what the server shows.</summary>
public sealed partial class WorldViewTests
{
    [Fact]
    public void Coins_and_figures_stand_where_the_state_says()
    {
        var rows = Rows("state 7 coins=0,0;39,15 players=ada:1,0:3;bob:2,1:0~");
        Assert.Equal("│oa" + new string(' ', 38) + "│", rows[1]);
        Assert.Equal("│  b" + new string(' ', 37) + "│", rows[2]);
        Assert.Equal("│" + new string(' ', 39) + "o│", rows[16]);
        Assert.Equal("ada 3  bob 0~", rows[18]);
    }

    [Theory, InlineData(""), InlineData("state"), InlineData("state x coins=,;;1;-1,2;99,99;1,1,1 players=;:;a;a:1:1"),
        InlineData("state 1 coins= players="), InlineData("state 1 players=x:99999999999,1:0;y:40,1:0;z:1,16:0")]
    public void A_state_that_is_none_draws_an_empty_field(string state)
    {
        var rows = Rows(state);
        Assert.All(rows[1..17], row => Assert.Equal("│" + new string(' ', 40) + "│", row));
    }

    private static string[] Rows(string state) =>
        [.. Marks().Replace(WorldView.Picture(state, "ada", ""), "").Split("\r\n")];

    [GeneratedRegex(@"\x1B\[[0-9;?]*[A-Za-z]")]
    private static partial Regex Marks();
}
