using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>`mortise connect` while it connects: both ends named, retries, local ends, and every refusal.</summary>
public sealed class ConnectTests
{
    [Fact]
    public async Task Both_ends_and_the_time_are_printed_and_bytes_go_both_ways()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Start("connect", peer.Address, "-v");
        using var socket = await peer.AcceptAsync();
        var line = await client.ErrorAsync(
            $@"^connected 127\.0\.0\.1:(\d+) → 127\.0\.0\.1:{peer.Port} in [\d.]+ m?s$");
        var port = int.Parse(line.Groups[1].Value, CultureInfo.InvariantCulture);
        Assert.Equal(socket.RemotePort(), port);
        var range = (await File.ReadAllTextAsync("/proc/sys/net/ipv4/ip_local_port_range",
            TestContext.Current.CancellationToken)).Split('\t').Select(int.Parse).ToArray();
        Assert.InRange(port, range[0], range[1]);
        await client.Input.WriteAsync("up\n");
        await client.Input.FlushAsync(TestContext.Current.CancellationToken);
        Assert.Equal("up\n"u8.ToArray(), await socket.HearAsync(3));
        await socket.SayAsync("down\n");
        await client.OutputAsync("^down$");
        client.Input.Close();
        Assert.Empty(await socket.HearToEndAsync());
        socket.Dispose();
        Assert.Equal(0, await client.ExitAsync());
        await client.ErrorAsync(@"^closed \(eof\): received 5 B, sent 3 B$");
        Row.Observed("H01", line.Value);
        Row.Observed("A01", "connect: `up` arrives at a bare socket, `down` on stdout");
        Row.Observed("E07", $"without bind the kernel picked {port}, of {range[0]}–{range[1]}, and the server sees it");
        Row.Observed("I05", "the peer's FIN is an end (closed (eof), exit 0), no message and no error");
        Row.Observed("H09", "a connect that returned is a live connection: bytes pass both ways at once");
    }

    [Fact]
    public async Task A_port_without_a_listener_is_refused_at_once_with_4()
    {
        var clock = Stopwatch.StartNew();
        var run = await MortiseProcess.RunAsync(["connect", "127.0.0.1:1", "--explain"]);
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(8));
        Assert.Equal(4, run.ExitCode);
        Assert.Empty(run.Output);
        Assert.Matches(@"^connect 127\.0\.0\.1:1 → refused \(ECONNREFUSED 111\) (at once|after )", run.Error);
        Assert.Contains("no process is listening (RST)", run.Error);
        Assert.Contains("1 SYN sent, a RST came back", run.Error);
        Assert.Contains("mortise explain ECONNREFUSED", run.Error);
        Row.Observed("H03", "exit 4: " + run.Error.Split('\n')[0] + run.Error.Split('\n')[1]);
    }

    [Fact]
    public async Task A_client_started_before_its_server_connects_when_it_appears()
    {
        using var peer = new BarePeer(backlog: -1);
        await using var client = MortiseProcess.Start("connect", peer.Address, "--retry", "100", "--retry-delay",
            "50ms..100ms", "--send", "at last");
        var log = await client.ErrorAsync(@"try 2 of 101 refused \(ECONNREFUSED 111\), again in \d+ ms");
        peer.Listen();
        using var socket = await peer.AcceptAsync();
        Assert.Equal("at last", await socket.HearToEndAsync());
        socket.Dispose();
        Assert.Equal(0, await client.ExitAsync());
        var pauses = client.ErrorLines.Select(l => l.Split("again in ")[1]).ToList();
        Row.Observed("H02", $"{log.Value}; connected when the server came; pauses {string.Join(", ", pauses)}");
    }

    [Fact]
    public async Task Retries_are_cancelled_by_one_signal_and_leave_no_descriptor_behind()
    {
        using var peer = new BarePeer(backlog: -1);
        await using var client = MortiseProcess.Start("connect", peer.Address, "--retry", "100000", "--retry-delay",
            "1ms..1ms");
        int Descriptors() => Directory.GetFileSystemEntries($"/proc/{client.Id}/fd").Length;
        await client.ErrorAsync("try 20 of");
        var before = Descriptors();
        await client.ErrorAsync("try 400 of");
        var after = Descriptors();
        Assert.InRange(after, before - 20, before + 20);   // threads and timers come and go
        client.Signal("INT");
        Assert.Equal(130, await client.ExitAsync());
        Row.Observed("Z22", $"380 failed connects: {before} descriptors before, {after} after");
    }

    [Fact]
    public async Task A_full_accept_queue_ends_with_5_after_the_timeout_and_the_SYNs_are_counted()
    {
        using var peer = new BarePeer(backlog: 0);
        using var held = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await held.ConnectAsync(IPAddress.Loopback, peer.Port);
        var clock = Stopwatch.StartNew();
        await using var client = MortiseProcess.Start("connect", peer.Address, "--timeout", "1800ms", "--explain");
        var repeated = 0;
        while (!client.Process.HasExited && clock.Elapsed < MortiseProcess.Patience)
        {
            repeated = Math.Max(repeated, SynRepeats(peer.Port));
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }

        Assert.Equal(5, await client.ExitAsync());
        Assert.True(clock.Elapsed > TimeSpan.FromSeconds(1.8));
        Assert.Matches(@"timed out \(ETIMEDOUT 110\) after (1\.[89]|[2-9])\S* s", client.Error);
        var told = await client.ErrorAsync(@"the kernel: (\d+) SYNs? sent in (1\.[89]|[2-9])\S* s");
        // The first is no repeat; one may have gone after the last look.
        Assert.InRange(int.Parse(told.Groups[1].Value, CultureInfo.InvariantCulture), repeated + 1, repeated + 2);
        Row.Observed("H04", "full accept queue, --timeout 1800ms: exit 5, " + client.ErrorLines[0]);
        Row.Observed("H07", $"{told.Value}; /proc/net/tcp shows the same number of repeats in SYN-SENT: {repeated}");
    }

    [Fact]
    public async Task The_local_address_port_and_interface_can_be_chosen()
    {
        using var peer = new BarePeer();
        var free = Loopback.FreeEndpoint().Authority;
        await using var chosen = MortiseProcess.Start("connect", peer.Address, "--bind", free,
            "--interface", "lo", "--send", "x");
        using var socket = await peer.AcceptAsync();
        var peerEnd = socket.RemoteEndPoint!.ToString();
        Assert.Equal(free, peerEnd);
        socket.Dispose();
        Assert.Equal(0, await chosen.ExitAsync());
        var wrong = await MortiseProcess.RunAsync(["connect", peer.Address, "--interface", "nosuch0"]);
        Assert.NotEqual(0, wrong.ExitCode);
        Assert.Contains("nosuch0", wrong.Error);
        var foreign = await MortiseProcess.RunAsync(["connect", peer.Address, "--bind", "192.0.2.1:0"]);
        Assert.Equal(7, foreign.ExitCode);
        Assert.Contains("EADDRNOTAVAIL 99", foreign.Error);
        Row.Observed("E08", $"--bind {free} --interface lo: the server sees {peerEnd}");
    }

    [Theory]
    [InlineData(2, "localhost", "the port is missing")]
    [InlineData(2, "tcp:/127.0.0.1:80", "the scheme is followed by ://")]
    [InlineData(2, "127.0.0.1:70000", "65535")]
    [InlineData(2, "256.1.1.1:80", "256.1.1.1")]
    [InlineData(3, "no-such-host.invalid:80", "no-such-host.invalid")]
    [InlineData(12, "udp://127.0.0.1:9", "mortise send")]
    [InlineData(12, "127.0.0.1:9", "without a proxy", "--proxy", "socks5://127.0.0.1:1080")]
    [InlineData(2, "127.0.0.1:9", "--count 0", "--count", "0")]
    [InlineData(2, "127.0.0.1:9", "this is no time", "--every", "soon")]
    [InlineData(2, "127.0.0.1:9", "this is no regular expression", "--expect", "(")]
    [InlineData(2, "127.0.0.1:9", "there is no encoding of that name", "--encoding", "klingon")]
    public async Task A_mistake_is_named_with_its_exit_code(int exit, string endpoint, string said,
        params string[] more)
    {
        var run = await MortiseProcess.RunAsync(["connect", endpoint, .. more]);
        Assert.Equal(exit, run.ExitCode);
        Assert.Contains(said, run.Error);
        Assert.Empty(run.Output);
    }

    /// <summary>How often the kernel repeated the SYN of a connect to this port (proc(5), /proc/net/tcp).</summary>
    private static int SynRepeats(int port) => Loopback.TcpRows()
        .Where(row => row[2] == Loopback.TcpEnd(port) && row[3] == "02")
        .Select(row => Convert.ToInt32(row[6], 16)).DefaultIfEmpty(0).Max();
}
