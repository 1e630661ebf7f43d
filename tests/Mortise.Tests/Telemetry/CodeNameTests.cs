using Mortise.Telemetry;
using Xunit;

namespace Mortise.Tests.Telemetry;

/// <summary>A warning about a handler names code that its author finds again.</summary>
public sealed class CodeNameTests
{
    private const string Here = "Mortise.Tests.Telemetry.CodeNameTests";

    [Fact]
    public void Code_is_named_as_it_was_written()
    {
        var captured = DateTime.UtcNow.Ticks;
        void Local(long more) => captured += more;
        static void Alone(long more) => _ = more;
        Assert.Equal($"{Here}.Method", CodeName.Of(Method));
        Assert.Equal($"{Here}.Local", CodeName.Of(Local));
        Assert.Equal($"{Here}.Alone", CodeName.Of(Alone));
        var within = $"a lambda in {Here}.{nameof(Code_is_named_as_it_was_written)}";
        Assert.Equal(within, CodeName.Of((long more) => captured += more));
        Assert.Equal(within, CodeName.Of(static (long more) => _ = more));
        Assert.Equal(within, CodeName.Of(async (long more) => await Task.Delay((int)(captured - captured + more))));
    }

    [Theory]
    [InlineData("<<Main>$>g__Price|0_0", "Program.Price")]
    [InlineData("<<Main>$>b__0_1", "a lambda in Program")]
    [InlineData("<Start>b__2_0", "a lambda in Program.Start")]
    [InlineData("<<Start>g__Price|0>b__1", "a lambda in Program.Price")]
    [InlineData("<Start>b__2_0x|<>", "a lambda in Program.Start")]
    [InlineData("<somebody_else's>", "Program.<somebody_else's>")]
    [InlineData("Price", "Program.Price")]
    public void What_the_compiler_called_it_is_read_back(string compiled, string written) =>
        Assert.Equal(written, CodeName.Readable("Program.", compiled));

    private static void Method(long more) => _ = more;
}
