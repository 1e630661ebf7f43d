using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>`mortise serve echo` over datagrams: who is answered, what is dropped, how many calls it takes.</summary>
public sealed partial class ServeDatagramTests
{
    private readonly CancellationToken _patience = new CancellationTokenSource(MortiseProcess.Patience).Token;
    private readonly byte[] _buffer = new byte[65_536];

    [Fact]
    public async Task One_datagram_in_is_one_datagram_out()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://127.0.0.1:0", "-v");
        await using var _ = server;
        var sent = await MortiseProcess.RunAsync(["send", endpoint.ToString(), "x"]);
        Assert.Equal((0, "x"), (sent.ExitCode, sent.Output));
        foreach (var ev in (string[])["recv", "sent"])
            Assert.Equal(1, (await server.EventAsync(ev)).GetProperty("bytes").GetInt32());
        var end = await StopAsync(server);
        Assert.Equal((1, 0), (end.GetProperty("datagrams").GetInt32(), end.GetProperty("drops").GetInt32()));
        Row.Observed("A07", $"serve echo {endpoint}: send x printed {sent.Output}; recv 1 B, sent 1 B, then {end}");
    }

    [Fact]
    public async Task Interleaved_clients_get_only_their_own_replies_from_the_address_they_asked()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://*:0");
        await using var _ = server;
        Endpoint[] asked = [.. ((string[])["127.0.0.1", "127.0.0.2", "::1"]).Select(endpoint.WithHost)];
        var clients = asked.Select(a => DatagramSocket.Connect(a)).ToArray();
        for (var turn = 0; turn < 5; turn++)
            for (var who = 0; who < clients.Length; who++)
                await clients[who].SendAsync(Encoding.ASCII.GetBytes($"{who}: {turn}"), _patience);
        for (var who = 0; who < clients.Length; who++)
        {
            for (var turn = 0; turn < 5; turn++)
            {
                var got = await clients[who].ReceiveAsync(_buffer, _patience);
                var text = Encoding.ASCII.GetString(_buffer, 0, got.Length);
                Assert.Equal(($"{who}: {turn}", asked[who]), (text, got.From));
            }

            clients[who].Dispose();
        }

        Row.Observed("I16", $"3 clients interleaved on udp://*, 5 datagrams each: every one got its own 5, from "
            + string.Join(", ", asked.Select(a => a.Authority)));
    }

    [Fact]
    public async Task Drops_of_a_small_receive_buffer_are_counted()
    {
        const int Sent = 200;
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://127.0.0.1:0", "--rcvbuf", "16KiB",
            "--metrics", ":0");
        await using var _ = server;
        var listening = await server.EventAsync("listening");
        Assert.Equal(32 * 1024, listening.GetProperty("rcvbuf").GetInt32());
        server.Signal("STOP");
        using var client = DatagramSocket.Connect(endpoint, new() { ReceiveBufferBytes = 1024 * 1024 });
        for (var i = 0; i < Sent; i++)
            await client.SendAsync(new byte[1000], _patience);
        server.Signal("CONT");
        await client.SendAsync("end"u8.ToArray(), _patience);
        var echoed = 0;
        // Until what came after the flood is back, or was dropped like the rest.
        while ((await client.ReceiveAsync(_buffer, _patience)).Length == 1000
            && ++echoed + DropsOf(endpoint.Port) <= Sent)
            Assert.InRange(echoed, 1, Sent);

        var column = DropsOf(endpoint.Port);
        Assert.InRange(column, 1, Sent);
        var page = listening.GetProperty("metrics").GetString()!.Replace("tcp:", "http:", StringComparison.Ordinal);
        var metrics = (await MortiseProcess.RunShellAsync($"curl -s -m 5 {page}/metrics")).Output;
        Assert.Contains($"mortise_dropped_total{{reason=\"receive_queue\"}} {column}\n", metrics);
        var end = await StopAsync(server);
        Assert.Equal(column, end.GetProperty("drops").GetInt32());
        Assert.Equal(Sent + 1, column + end.GetProperty("datagrams").GetInt32());
        Row.Observed("I26", $"serve echo --rcvbuf 16KiB, stopped while {Sent} datagrams came: drops {column} in "
            + $"/proc/net/udp, in mortise_dropped_total{{reason=\"receive_queue\"}} and in the drained event");
    }

    [Fact]
    public async Task Those_who_left_and_those_who_are_denied_hold_up_nobody()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://0.0.0.0:0", "--deny", "127.0.0.9");
        await using var _ = server;
        var at = endpoint.WithHost("127.0.0.1");
        for (var i = 0; i < 50; i++)
        {
            using var leaves = DatagramSocket.Connect(at);
            await leaves.SendAsync("gone"u8.ToArray(), _patience);
        }

        using var denied = DatagramSocket.Connect(at, new() { Bind = "udp://127.0.0.9:0" });
        using var stays = DatagramSocket.Connect(at);
        await denied.SendAsync("let me in"u8.ToArray(), _patience);
        await stays.SendAsync("here"u8.ToArray(), _patience);
        Assert.Equal(4, (await stays.ReceiveAsync(_buffer, _patience)).Length);
        var end = await StopAsync(server);
        Assert.Equal(51, end.GetProperty("datagrams").GetInt32());
    }

    /// <summary>A kernel call for each datagram would be what every runtime does; strace counts ours.</summary>
    [Fact]
    public async Task A_burst_is_received_and_answered_in_few_system_calls()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/strace"), "strace is not installed");
        const int Burst = 256;
        var folder = Directory.CreateTempSubdirectory("mortise").FullName;
        await using var server = MortiseProcess.Shell("exec strace -D -f -qq -e signal=none "
            + "-e trace=recvmmsg,sendmmsg,recvmsg,sendto,sendmsg -o calls $MORTISE serve echo udp://127.0.0.1:0 --json",
            folder);
        var listening = await server.EventAsync("listening");
        var endpoint = Endpoint.Parse(listening.GetProperty("endpoint").GetString()!);
        using var client = DatagramSocket.Connect(endpoint, new() { ReceiveBufferBytes = 1024 * 1024 });
        var batch = new DatagramBatch(Burst, 16);
        for (var i = 0; i < Burst; i++)
            batch.Add("0123456789abcdef"u8);
        Assert.Equal(Burst, await client.SendBatchAsync(batch, _patience));
        for (var back = 0; back < Burst; back += batch.Count)
            await client.ReceiveBatchAsync(batch, _patience);
        server.Signal("TERM");
        await server.ExitAsync();
        var calls = await File.ReadAllLinesAsync(Path.Combine(folder, "calls"), _patience);
        Directory.Delete(folder, recursive: true);
        Assert.SkipWhen(calls.Any(l => l.Contains("PTRACE", StringComparison.Ordinal)), "ptrace is not permitted here");
        var moved = calls.Select(l => Moved().Match(l)).Where(m => m.Success)
            .ToLookup(m => m.Groups[1].Value, m => int.Parse(m.Groups[2].Value, CultureInfo.InvariantCulture));
        foreach (var call in (string[])["recvmmsg", "sendmmsg"])
        {
            Assert.Equal(Burst, moved[call].Sum());
            Assert.InRange(moved[call].Count(), 1, Burst / 8);
        }
    }

    [Theory]
    [InlineData("loss=110%", 2)]
    [InlineData("loss=-1%", 2)]
    [InlineData("loss=NaN%", 2)]
    [InlineData("loss=10", 2)]
    [InlineData("seed=7", 2)]
    [InlineData("delay=1s", 2)]
    public async Task Chaos_that_is_not_understood_is_refused(string chaos, int exitCode)
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", "udp://127.0.0.1:0", "--chaos", chaos]);
        Assert.Equal(exitCode, run.ExitCode);
        Assert.Contains("write loss=10% or loss=10%,seed=7", run.Error);
    }

    [Fact]
    public async Task Chaos_on_a_stream_is_refused()
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", ":0", "--chaos", "loss=10%"]);
        Assert.Equal(12, run.ExitCode);
        Assert.Contains("a stream loses nothing", run.Error);
    }

    private static async Task<JsonElement> StopAsync(MortiseProcess server)
    {
        server.Signal("TERM");
        Assert.Equal(0, await server.ExitAsync());
        return await server.EventAsync("drained");
    }

    /// <summary>The last column of the row of 127.0.0.1 and this port.</summary>
    private static int DropsOf(int port) => int.Parse(
        File.ReadLines("/proc/net/udp").Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Single(r => r[1] == $"0100007F:{port:X4}")[^1], CultureInfo.InvariantCulture);

    [GeneratedRegex(@"(recvmmsg|sendmmsg)\(.* = (\d+)(?: |$)")]
    private static partial Regex Moved();
}
