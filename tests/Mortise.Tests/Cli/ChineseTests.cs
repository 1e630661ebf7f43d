using System.Text.RegularExpressions;
using Mortise.Tests.Cli.Talk;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>--lang zh: who reads Chinese is told in Chinese what failed, why, and what to try.</summary>
public sealed partial class ChineseTests
{
    [Fact]
    public async Task A_connect_that_is_refused_is_told_in_Chinese()
    {
        using var nobody = new BarePeer(backlog: -1);
        var run = await MortiseProcess.RunAsync(["connect", nobody.Address, "--lang", "zh", "--retry", "1",
            "--retry-delay", "1ms..1ms"]);
        Assert.Equal(4, run.ExitCode);
        var lines = run.Error.Split('\n');
        Assert.Matches(@"^connect \S+: 第 1/2 次尝试被拒绝 \(ECONNREFUSED 111\)，.* 后重试$", lines[0]);
        Assert.Matches(@"^connect \S+ → 被拒绝 \(ECONNREFUSED 111\)，", lines[1]);
        Assert.Equal("  没有进程在监听（收到 RST）：主机在线，但拒绝了连接", lines[2]);
        Assert.StartsWith("  试试: 在服务器上运行 `ss -ltnp`", lines[3]);
        Assert.Equal("  更多: mortise explain ECONNREFUSED", lines[4]);
        AssertNoEnglishSentence(lines[2..4]);
    }

    [Theory]
    [InlineData("serve", "echo")]
    [InlineData("listen")]
    public async Task A_port_in_use_and_its_holder_are_told_in_Chinese(params string[] verb)
    {
        using var taken = new BarePeer();
        var run = await MortiseProcess.RunAsync([.. verb, taken.Address, "--lang", "zh"]);
        Assert.Equal(7, run.ExitCode);
        var lines = run.Error.Split('\n');
        Assert.Matches($@"^mortise: bind \S+: 地址已被占用: 占用者是 pid {Environment.ProcessId} ", lines[0]);
        Assert.StartsWith("  试试: ", lines[1]);
        AssertNoEnglishSentence(lines[1..2]);
    }

    [Fact]
    public async Task Silence_an_interrupt_and_a_slip_are_told_in_Chinese()
    {
        using var peer = new BarePeer();
        var silent = MortiseProcess.RunAsync(["connect", peer.Address, "--timeout", "2s", "--lang", "zh"]);
        using var socket = await peer.AcceptAsync();
        var told = (await silent).Error;
        Assert.Contains("没有收到任何数据，已等待 2 s", told, StringComparison.Ordinal);
        Assert.Contains("对端既没有应答也没有关闭", told, StringComparison.Ordinal);
        await using var client = MortiseProcess.Start("connect", peer.Address, "-v", "--lang", "zh");
        using var other = await peer.AcceptAsync();
        await client.ErrorAsync("^connected");
        client.Signal("INT");
        Assert.Equal(130, await client.ExitAsync());
        Assert.Equal("已中断", client.ErrorLines[^1]);
        var slip = await MortiseProcess.RunAsync(["explain", "EADRINUSE", "--lang", "zh"]);
        Assert.Contains("是否想写：EADDRINUSE", slip.Error, StringComparison.Ordinal);
    }

    /// <summary>Commands and names may stand in a Chinese sentence, five English words in a row may not.</summary>
    private static void AssertNoEnglishSentence(IEnumerable<string> lines) =>
        Assert.All(lines, line => Assert.DoesNotMatch(Sentence(), line));

    [GeneratedRegex(@"([a-z]+ ){4}[a-z]+")]
    private static partial Regex Sentence();
}
