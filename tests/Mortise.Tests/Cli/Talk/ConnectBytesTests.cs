using System.Text;
using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>What passes through `mortise connect`: every byte, 64 MiB in bounded memory, frames, encodings.</summary>
public sealed class ConnectBytesTests
{
    private const int BigBytes = 64 * 1024 * 1024;

    [Fact]
    public async Task Zeros_and_high_bytes_pass_both_ways()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        var run = await MortiseProcess.RunShellAsync($"""
            printf 'ab\0cd\377\xfe\r\n\x1b[2J' | mortise connect {endpoint} | od -An -tx1 -v
            mortise connect {endpoint} < /dev/null | wc -c
            head -c 5000 /dev/zero | mortise connect {endpoint} | wc -c
            mortise connect {endpoint} --send 'a\0b\xff\\' | od -An -tx1 -v
            """);
        var lines = run.Output.Split('\n').Select(l => l.Trim()).ToArray();
        Assert.Equal("61 62 00 63 64 ff fe 0d 0a 1b 5b 32 4a", lines[0]);
        Assert.Equal(["0", "5000", "61 00 62 ff 5c"], lines[1..]);
        Row.Observed("I22", $"send and recv with flags 0, the default: {lines[0]} comes back");
        Row.Observed("I23", $"through connect and echo: {lines[0]}; nothing for nothing");
        Row.Observed("I24", "5000 bytes come back whole through connect");
        Row.Observed("Z20", "a message of any length: 5000 bytes pass, no byte is written behind a buffer");
    }

    [Fact]
    public async Task A_full_pipe_of_64_MiB_comes_back_the_same_in_32_MiB_of_memory()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        var file = Path.GetTempFileName();
        try
        {
            var run = await MortiseProcess.RunShellAsync($"""
                head -c {BigBytes} /dev/urandom > {file}
                export DOTNET_GCHeapHardLimit=2000000   # hexadecimal: 32 MiB
                cat {file} | mortise connect {endpoint} --timeout 15s | sha256sum
                sha256sum < {file}
                """);
            var sums = run.Output.Split('\n');
            Assert.Equal(2, sums.Length);
            Assert.Equal(sums[1], sums[0]);
            Assert.Empty(run.Error);
            Row.Observed("Z30", $"{BigBytes:N0} bytes there and back, SHA-256 equal, whatever one write took");
            Row.Observed("Z18", $"connect: {BigBytes:N0} bytes sent whole in a heap of 32 MiB");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task One_frame_of_64_MiB_comes_back_the_same()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--frame", "len:4", "--max-frame",
            "64MiB");
        await using var _ = server;
        var file = Path.GetTempFileName();
        try
        {
            var run = await MortiseProcess.RunShellAsync($"""
                tr -d '\n' < /dev/urandom | head -c {BigBytes - 16} > {file}; echo >> {file}
                cat {file} | mortise connect {endpoint} --frame len:4,max=64MiB --timeout 15s | sha256sum
                sha256sum < {file}
                """);
            var sums = run.Output.Split('\n');
            Assert.Equal(2, sums.Length);
            Assert.Equal(sums[1], sums[0]);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Lines_become_frames_and_frames_lines()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Shell(
            $"printf 'one\n\ntwo' | mortise connect {peer.Address} --frame len:2");
        using var socket = await peer.AcceptAsync();
        Assert.Equal("\0\u0003one\0\0\0\u0003two", await socket.HearToEndAsync());
        foreach (var piece in (string[])["\0", "\u0005", "fi", "rst\0\u0002", "2!"])
        {
            await socket.SayAsync(piece);
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        socket.Dispose();
        Assert.Equal(0, await client.ExitAsync());
        Assert.Equal("first\n2!", client.Output);
    }

    [Theory]
    [InlineData("\0\0\0\u0009abc", "unexpected_eof", "len:4")]
    [InlineData("HTTP/1.1 400 Bad Request\r\n\r\n", "frame_too_long", "len:4")]
    public async Task Half_a_frame_or_one_too_long_is_9(string bytes, string symbol, string rule)
    {
        using var peer = new BarePeer();
        var run = MortiseProcess.RunAsync(["connect", peer.Address, "--frame", rule, "--json"]);
        using (var socket = await peer.AcceptAsync())
        {
            await socket.SayAsync(bytes);
            await socket.HearToEndAsync();
        }

        var finished = await run;
        Assert.Equal(9, finished.ExitCode);
        Assert.Contains(
            $"\"symbol\":\"{symbol}\",\"op\":\"frame\",\"endpoint\":\"tcp://{peer.Address}\"", finished.Output);
        Assert.Contains($"\"reason\":\"{symbol}\"", finished.Output);
        if (symbol == "unexpected_eof")
            Row.Observed("N09", "exit 9: " + finished.Output.Split('\n')[^1]);
    }

    [Fact]
    public async Task GB18030_passes_both_ways_also_where_a_read_splits_a_character()
    {
        const string Text = "中文€\U00020BB7é.";   // of 2, 4 and 1 bytes in GB18030
        Encoding.RegisterProvider(CodePagesEncodingProvider.Instance);
        var wire = Encoding.GetEncoding("gb18030").GetBytes(Text);
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Start("connect", peer.Address, "--encoding", "gb18030");
        using var socket = await peer.AcceptAsync();
        foreach (var b in Encoding.UTF8.GetBytes(Text))
        {
            client.Input.BaseStream.WriteByte(b);
            await client.Input.BaseStream.FlushAsync(TestContext.Current.CancellationToken);
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        Assert.Equal(wire, await socket.HearAsync(wire.Length));
        foreach (var b in wire)
        {
            await socket.SayAsync(new[] { b });
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        client.Input.Close();
        socket.Dispose();
        Assert.Equal(0, await client.ExitAsync());
        Assert.Equal(Text, client.Output);
        Row.Observed("I25", $"--encoding gb18030: {wire.Length} bytes one by one, there and back: {client.Output}");
    }
}
