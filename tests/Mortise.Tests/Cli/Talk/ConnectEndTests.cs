using System.Net.Sockets;
using System.Text.Json;
using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>How `mortise connect` ends: FIN, RST, silence, Ctrl+C, an expectation, nobody who reads.</summary>
public sealed class ConnectEndTests
{
    [Fact]
    public async Task The_end_of_stdin_half_closes_and_the_reply_still_comes()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Shell($"printf hi | mortise connect {peer.Address} --half-close");
        using var socket = await peer.AcceptAsync();
        Assert.Equal("hi", await socket.HearToEndAsync());
        await StateAsync(socket.RemotePort(), peer.Port, "05");   // FIN-WAIT-2 (include/net/tcp_states.h)
        await StateAsync(peer.Port, socket.RemotePort(), "08");   // CLOSE-WAIT
        await socket.SayAsync("answer after the FIN");
        socket.Dispose();
        Assert.Equal(0, await client.ExitAsync());
        Assert.Equal("answer after the FIN", client.Output);
        Row.Observed("J05", "connect --half-close: FIN-WAIT-2 here, CLOSE-WAIT there, and the reply still comes");
    }

    [Fact]
    public async Task Without_half_close_only_the_peer_ends_it()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Start("connect", peer.Address, "--no-half-close");
        using var socket = await peer.AcceptAsync();
        await client.Input.WriteAsync("all");
        client.Input.Close();
        Assert.Equal("all"u8.ToArray(), await socket.HearAsync(3));
        Assert.False(socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead), "a FIN came");
        socket.Dispose();
        Assert.Equal(0, await client.ExitAsync());
    }

    [Fact]
    public async Task A_reset_is_8_and_names_operation_and_peer()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Start("connect", peer.Address);
        await using var script = MortiseProcess.Start("connect", peer.Address, "--json");
        for (var i = 0; i < 2; i++)
        {
            var socket = await peer.AcceptAsync();
            await socket.SayAsync("half an ans");
            await Task.Delay(50, TestContext.Current.CancellationToken);   // else the RST may overtake the bytes
            socket.Reset();
        }

        Assert.Equal(8, await client.ExitAsync());
        Assert.Contains($"recv tcp://{peer.Address}: ", client.Error);
        Assert.Contains("(ECONNRESET 104)", client.Error);
        Assert.Equal(8, await script.ExitAsync());
        var error = await script.EventAsync("error");
        Assert.Equal("ECONNRESET", error.GetProperty("symbol").GetString());
        Assert.Equal(104, error.GetProperty("errno").GetInt32());
        Assert.Equal("reset", (await script.EventAsync("closed")).GetProperty("reason").GetString());
        Row.Observed("I07", "exit 8: " + client.ErrorLines[0]);
        Row.Observed("N14", error.GetRawText());
    }

    [Fact]
    public async Task Writing_to_a_peer_that_has_gone_is_8_and_never_SIGPIPE()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Shell($"exec $MORTISE connect {peer.Address} < /dev/zero");
        using (var socket = await peer.AcceptAsync())
            await socket.HearAsync(100_000);   // and closes with bytes unread
        var code = await client.ExitAsync();
        Assert.Equal(8, code);
        Assert.Matches("ECONNRESET 104|EPIPE 32", client.Error);
        Row.Observed("I08", $"exit {code}, not 141 (SIGPIPE): {client.ErrorLines[0]}");
    }

    [Fact]
    public async Task A_peer_that_has_finished_still_gets_what_flows_to_it()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Shell($"head -c 20000000 /dev/zero | mortise connect {peer.Address}");
        using var socket = await peer.AcceptAsync();
        await socket.SayAsync("done talking");
        socket.Shutdown(SocketShutdown.Send);
        Assert.Equal(20_000_000, (await socket.HearToEndAsync()).Length);
        Assert.Equal(0, await client.ExitAsync());
        Assert.Equal("done talking", client.Output);
    }

    [Fact]
    public async Task Linger_0_resets_as_soon_as_stdin_ends()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Shell($"printf hi | mortise connect {peer.Address} --linger 0");
        using var socket = await peer.AcceptAsync();
        var reset = await Assert.ThrowsAsync<SocketException>(socket.HearToEndAsync);
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        Assert.Equal(0, await client.ExitAsync());
        Row.Observed("J06", $"connect --linger 0: the server's read ends with {reset.SocketErrorCode} (RST), not EOF");
    }

    [Fact]
    public async Task A_silent_peer_is_5_after_the_timeout()
    {
        using var peer = new BarePeer();
        var run = MortiseProcess.RunAsync(["connect", peer.Address, "--timeout", "2s", "--json"], "anybody?");
        using var socket = await peer.AcceptAsync();
        var finished = await run;
        Assert.Equal(5, finished.ExitCode);
        Assert.Contains("\"ev\":\"error\",\"errno\":110,\"symbol\":\"ETIMEDOUT\",\"op\":\"recv\"", finished.Output);
        Assert.Contains("\"reason\":\"idle\"", finished.Output);
    }

    [Fact]
    public async Task An_expectation_is_0_when_met_and_1_when_not()
    {
        using var peer = new BarePeer();
        await using var met = MortiseProcess.Start("connect", peer.Address, "--send", "ping", "--expect", "p.ng 7");
        using var first = await peer.AcceptAsync();
        await first.SayAsync("pong ");
        await first.HearAsync(4);
        await first.SayAsync("7");
        Assert.Equal(0, await met.ExitAsync());   // although this peer keeps the connection open
        await using var unmet = MortiseProcess.Start("connect", peer.Address, "--send", "ping", "--expect", "pong",
            "--timeout", "2s");
        using var second = await peer.AcceptAsync();
        await second.SayAsync("no");
        Assert.Equal(1, await unmet.ExitAsync());
        Assert.Contains($"expect: {peer.Address} sent nothing that matches pong", unmet.Error);
    }

    [Fact]
    public async Task Ctrl_C_closes_in_order_and_says_so()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Start("connect", peer.Address, "-v");
        using var socket = await peer.AcceptAsync();
        await client.ErrorAsync("^connected");
        client.Signal("INT");
        Assert.Empty(await socket.HearToEndAsync());   // FIN, not RST
        Assert.Equal(130, await client.ExitAsync());
        Assert.Equal("interrupted", client.ErrorLines[^1]);
        var help = await MortiseProcess.RunAsync(["--help"]);
        Assert.Matches(@"130  interrupted: .*connect, send, play and listen close in order at the first\s",
            help.Output);
    }

    [Theory, InlineData("--json"), InlineData("--log-format=json"), InlineData("--log-format", "json")]
    public async Task A_failure_is_an_event_wherever_events_are_asked_for(params string[] flags)
    {
        var run = await MortiseProcess.RunAsync(["connect", "tcp://127.0.0.1:1", .. flags]);
        Assert.Equal((4, ""), (run.ExitCode, run.Error));
        var told = JsonDocument.Parse(run.Output).RootElement;
        Assert.Equal(("error", "ECONNREFUSED"),
            (told.GetProperty("ev").GetString(), told.GetProperty("symbol").GetString()));
        using var taken = new BarePeer();
        var serve = await MortiseProcess.RunAsync(["serve", "echo", taken.Address, .. flags]);
        Assert.Equal(7, serve.ExitCode);
        Assert.Contains("\"symbol\":\"EADDRINUSE\"", serve.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("EADDRINUSE", serve.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_who_reads_the_output_is_a_quiet_end()
    {
        using var peer = new BarePeer();
        await using var client = MortiseProcess.Shell(
            $"mortise connect {peer.Address} | head -c 3; echo; echo ${{PIPESTATUS[0]}}");
        using var socket = await peer.AcceptAsync();
        var flood = socket.SayAsync(new byte[16 * 1024 * 1024].AsMemory());
        Assert.Equal(0, await client.ExitAsync());
        Assert.Equal("\0\0\0\n0", client.Output);
        Assert.Empty(client.Error);
        await Assert.ThrowsAsync<SocketException>(() => flood);
    }

    private static async Task StateAsync(int here, int there, string wanted)
    {
        for (var waited = 0; State(here, there) != wanted; waited += 20)
        {
            Assert.True(waited < 5000, $"{here} to {there} is in state {State(here, there)}, not {wanted}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>The kernel's state of one end of the connection between two ports of 127.0.0.1.</summary>
    private static string? State(int here, int there) => Loopback.TcpRows()
        .Where(row => row[1] == Loopback.TcpEnd(here) && row[2] == Loopback.TcpEnd(there))
        .Select(row => row[3]).SingleOrDefault();
}
