using System.Net;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>`mortise send`: datagrams and their replies, what ICMP says, and the longest one.</summary>
public sealed class SendTests
{
    [Fact]
    public async Task A_datagram_goes_out_and_its_reply_ends_the_wait()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://127.0.0.1:0");
        await using var _ = server;
        var clock = System.Diagnostics.Stopwatch.StartNew();
        var run = await MortiseProcess.RunAsync(["send", endpoint.ToString(), "one", "", "three", "--wait", "20s"]);
        Assert.Equal((0, "one\n\nthree"), (run.ExitCode, run.Output));
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(15), "it waited although every datagram had its reply");
        Row.Observed("I19", "send '' is an empty datagram, and its empty reply is shown as one");
    }

    [Fact]
    public async Task Replies_show_as_they_come_while_more_is_sent()
    {
        using var peer = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        peer.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        await using var client = MortiseProcess.Start("send", $"udp://{peer.LocalEndPoint}", "ping {n}", "--count", "3",
            "--every", "700ms", "--bind", "127.0.0.3:0");
        for (var i = 1; i <= 3; i++)
        {
            using var expired = new CancellationTokenSource(MortiseProcess.Patience);
            var buffer = new byte[100];
            var got = await peer.ReceiveFromAsync(buffer, SocketFlags.None, new IPEndPoint(IPAddress.Any, 0),
                expired.Token);
            Assert.Equal($"ping {i}", Encoding.ASCII.GetString(buffer, 0, got.ReceivedBytes));
            Assert.Equal("127.0.0.3", ((IPEndPoint)got.RemoteEndPoint).Address.ToString());
            await peer.SendToAsync(Encoding.ASCII.GetBytes($"pong {i}"), got.RemoteEndPoint, expired.Token);
            await client.OutputAsync($"pong {i}");
        }

        Assert.Equal(0, await client.ExitAsync());
    }

    [Fact]
    public async Task A_refusal_by_ICMP_is_4_and_not_swallowed()
    {
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        closed.Bind(new IPEndPoint(IPAddress.Parse("127.77.0.1"), 0)); // where nobody else takes the port meanwhile
        var at = closed.LocalEndPoint!.ToString();
        closed.Dispose();
        var run = await MortiseProcess.RunAsync(["send", "udp://" + at, "anybody?"]);
        Assert.Equal((4, ""), (run.ExitCode, run.Output));
        Assert.Contains("ICMP port unreachable", run.Error);
        Assert.Contains("(ECONNREFUSED 111)", run.Error);
        Row.Observed("A22", "exit 4: " + run.Error.Split('\n')[0]);
    }

    [Fact]
    public async Task The_longest_datagram_passes_and_one_byte_more_is_refused_with_the_limit()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://127.0.0.1:0");
        await using var _ = server;
        var longest = await MortiseProcess.RunAsync(["send", endpoint.ToString(), "--size", "65507", "--json"]);
        Assert.Equal(0, longest.ExitCode);
        Assert.Contains("\"ev\":\"recv\",\"id\":0,\"bytes\":65507", longest.Output);
        var longer = await MortiseProcess.RunAsync(["send", endpoint.ToString(), "--size", "65508"]);
        Assert.Equal(2, longer.ExitCode);
        Assert.Contains("0 to 65,507 bytes", longer.Error);
        Row.Observed("I17", "send --size 65507: echoed whole; --size 65508 exits 2: " + longer.Error.Split('\n')[0]);
    }

    [Fact]
    public async Task An_unmet_expectation_a_missing_text_and_silence_have_their_codes()
    {
        using var deaf = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        deaf.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var at = $"udp://{deaf.LocalEndPoint}";
        var silent = await MortiseProcess.RunAsync(["send", at, "x", "--wait", "100ms"]);
        Assert.Equal(0, silent.ExitCode);
        var unmet = await MortiseProcess.RunAsync(["send", at, "x", "--wait", "100ms", "--expect", "pong"]);
        Assert.Equal(1, unmet.ExitCode);
        Assert.Contains("sent nothing that matches pong", unmet.Error);
        var nothing = await MortiseProcess.RunAsync(["send", at]);
        Assert.Equal(2, nothing.ExitCode);
        Assert.Contains("there is nothing to send", nothing.Error);
    }

    [Fact]
    public async Task On_a_stream_the_text_goes_out_and_the_answer_comes_back()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        var run = await MortiseProcess.RunAsync(["send", endpoint.ToString(), @"to {n}\n", "--count", "2"]);
        Assert.Equal((0, "to 1\nto 2"), (run.ExitCode, run.Output));
        var refused = await MortiseProcess.RunAsync(["send", "127.0.0.1:1", "x"]);
        Assert.Equal(4, refused.ExitCode);
        Assert.StartsWith("connect 127.0.0.1:1 → refused", refused.Error);
    }
}
