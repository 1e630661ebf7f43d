using Mortise.Cli.Serve.Chat;
using Mortise.Testing;
using Xunit;

namespace Mortise.Tests.Cli.Chat;

/// <summary>The chat's rules that need no network: names, lines, floods.</summary>
public sealed class ChatRulesTests
{
    [Theory, InlineData("ada"), InlineData("Ada-2"), InlineData("小明"), InlineData("нина.п"), InlineData("हिन्दी")]
    public void Letters_and_digits_of_any_script_are_a_name(string name) =>
        Assert.Null(ChatNames.WhyNot(name, "name"));

    [Theory, InlineData(null), InlineData(""), InlineData(" "), InlineData("a b"), InlineData("a\u001b[1m"),
        InlineData("a\u202eb"), InlineData("a\u200db"), InlineData("*"), InlineData("[lobby]"), InlineData(".a"),
        InlineData("\u0301a"), InlineData("a\u0301\u0301\u0301"), InlineData("a\\x1B"), InlineData("\ud800a"),
        InlineData("a\nb"), InlineData("a:b")]
    public void What_could_move_a_cursor_or_look_like_the_chats_own_line_is_no_name(string? name) =>
        Assert.NotNull(ChatNames.WhyNot(name, "name"));

    [Fact]
    public void Characters_are_counted_not_their_code_units()
    {
        Assert.Null(ChatNames.WhyNot(string.Concat(Enumerable.Repeat("\U00020000", ChatNames.RunesMax)), "name"));
        Assert.NotNull(ChatNames.WhyNot(new string('x', ChatNames.RunesMax + 1), "name"));
    }

    [Theory]
    [InlineData("hello", "say", null, "hello")]
    [InlineData("  spaces around ", "say", null, "spaces around")]
    [InlineData("/msg  ada  two words", "msg", "ada", "two words")]
    [InlineData("/MSG ada x", "msg", "ada", "x")]
    [InlineData("/nick ada ", "nick", "ada", null)]
    [InlineData("/frob x", "unknown", null, "/frob")]
    public void A_line_is_a_command_or_is_said(string line, string kind, string? name, string? text)
    {
        var message = ChatLines.Parse(line);
        Assert.Equal((kind, name, text), (message.Kind, message.Name, message.Text));
    }

    [Fact]
    public void Some_seconds_worth_may_come_at_once_and_then_only_as_much_as_time_brings()
    {
        var time = new ManualTime();
        var gate = new FloodGate(5, time);
        Assert.Equal(20, Enumerable.Range(0, 100).Count(_ => gate.TryPass()));
        Assert.Equal(80, gate.Refused);
        time.Advance(TimeSpan.FromMilliseconds(199));
        Assert.False(gate.TryPass());
        time.Advance(TimeSpan.FromMilliseconds(2));
        Assert.True(gate.TryPass());
        Assert.False(gate.TryPass());
        Assert.False(gate.IsHopeless);
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(20, Enumerable.Range(0, 300).Count(_ => gate.TryPass()));
        Assert.True(gate.IsHopeless);
    }
}
