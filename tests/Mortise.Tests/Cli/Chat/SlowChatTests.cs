using System.Globalization;
using System.Text.RegularExpressions;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Cli.Chat;

/// <summary>One terminal of a chat is stopped (SIGSTOP) while others talk on.</summary>
public sealed partial class SlowChatTests
{
    private const int Lines = 1000;
    private static readonly string Padding = new('.', 4000);

    [Theory, InlineData("drop-oldest"), InlineData("drop-newest")]
    public async Task A_stopped_terminal_is_told_what_it_missed_and_the_others_get_everything_in_order(string policy)
    {
        await using var chat = await TalkAsync("--slow", policy, "--send-queue", "256KiB");
        chat.Stopped.Nc.Signal("CONT");
        if (policy == "drop-newest") // what is said while it catches up is missed as well
            await chat.Stopped.SeesAsync("and missed");
        await chat.Ada.SendAsync("the end");
        await chat.Stopped.SeesAsync("the end");
        var heard = chat.Numbers();
        var missed = chat.Stopped.Nc.OutputLines.Select(l => MissedLine().Match(l)).Where(m => m.Success)
            .Sum(m => int.Parse(m.Groups[1].Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture));
        Assert.Equal(Lines, heard.Count + missed);
        Assert.InRange(missed, 1, Lines - 1);
        Assert.Equal(heard.Order().Distinct(), heard);
        await chat.Server.ErrorAsync("reads too slowly, .* bytes wait: " + policy.Replace('-', '_'));
        Assert.Equal(missed, await chat.MetricAsync("mortise_dropped_total{reason=\"slow_reader\"}"));
        Row.Observed("L12", $"{policy}: nc stopped with SIGSTOP while {Lines} lines of 4 KB were said: the other heard "
            + $"all in order; resumed, it read {heard.Count} and was told that it missed {missed}, as log and "
            + "metric say");
    }

    [Fact]
    public async Task Under_disconnect_it_sees_the_close_and_the_room_sees_it_leave()
    {
        await using var chat = await TalkAsync("--slow", "disconnect", "--send-queue", "64KiB");
        while (await chat.Ada.ReceiveAsync(Limits.Soon) != "* cy left lobby (2 here)")
        {
        }

        await chat.Server.ErrorAsync(@"reads too slowly, .* bytes wait: closed \(slow_reader\)");
        var closed = await chat.Server.EventAsync("closed");
        Assert.Equal("slow_reader", closed.GetProperty("reason").GetString());
        Assert.Equal(1, await chat.MetricAsync("mortise_slow_disconnects_total"));
        chat.Stopped.Nc.Signal("CONT");
        chat.Stopped.Nc.Input.Close();
        await chat.Stopped.Nc.ExitAsync();
        Assert.DoesNotContain("and missed", chat.Stopped.Nc.Output);
    }

    [Fact]
    public async Task Under_wait_who_speaks_waits_and_nothing_is_lost()
    {
        await using var chat = await StartAsync("--slow", "wait", "--send-queue", "64KiB");
        chat.Stopped.Nc.Signal("STOP");
        var heard = 0;
        var hearing = Task.Run(async () =>
        {
            while (heard < Lines)
                if ((await chat.Bob.ReceiveAsync(Limits.Soon)).EndsWith(Padding, StringComparison.Ordinal))
                    Interlocked.Increment(ref heard);
        });
        var talking = Task.Run(async () =>
        {
            for (var i = 0; i < Lines; i++)
                await chat.Ada.SendAsync($"{i} {Padding}");
        });
        await chat.QueuedAsync(64 * 1024 - 2 * Padding.Length);
        Assert.InRange(Volatile.Read(ref heard), 1, Lines - 1);
        Assert.False(hearing.IsCompleted, hearing.Exception?.ToString());
        chat.Stopped.Nc.Signal("CONT");
        await Task.WhenAll(talking, hearing).WaitAsync(TimeSpan.FromSeconds(30));
        await chat.Ada.SendAsync("the end");
        await chat.Stopped.SeesAsync("the end");
        Assert.Equal(Enumerable.Range(0, Lines), chat.Numbers());
    }

    /// <summary>The next line is said when the other has the last: he is not slow.</summary>
    private static async Task<Chat> TalkAsync(params string[] flags)
    {
        var chat = await StartAsync(flags);
        chat.Stopped.Nc.Signal("STOP");
        for (var i = 0; i < Lines; i++)
        {
            await chat.Ada.SendAsync($"{i} {Padding}");
            string line;
            do
                line = await chat.Bob.ReceiveAsync(Limits.Soon);
            while (line.StartsWith('*'));
            Assert.EndsWith($": {i} {Padding}", line);
        }

        return chat;
    }

    private static async Task<Chat> StartAsync(params string[] flags)
    {
        var server = MortiseProcess.Start(["serve", "chat", ":0", "--flood", "100000", "--sndbuf", "16KiB",
            "--metrics", ":0", "--json", .. flags]);
        var listening = await server.EventAsync("listening");
        var at = Endpoint.Parse(listening.GetProperty("endpoint").GetString()!);
        return new Chat(server, await Terminal.EnterAsync(at, "cy"), await EnterAsync(at), await EnterAsync(at),
            Endpoint.Parse(listening.GetProperty("metrics").GetString()!));
    }

    private static async Task<Session<string>> EnterAsync(Endpoint at)
    {
        var session = await SocketClient.ConnectAsync(at, Codec.Lines());
        Assert.StartsWith("* welcome", await session.ReceiveAsync(Limits.Soon));
        return session;
    }

    [GeneratedRegex(@"^\* you read too slowly and missed ([0-9,]+) messages?$")]
    private static partial Regex MissedLine();

    private sealed record Chat(MortiseProcess Server, Terminal Stopped, Session<string> Ada, Session<string> Bob,
        Endpoint Metrics) : IAsyncDisposable
    {
        /// <summary>What the stopped terminal shows, each line whole.</summary>
        public List<int> Numbers() =>
            [.. Stopped.Nc.OutputLines.Where(l => l.EndsWith(Padding, StringComparison.Ordinal)).Select(l =>
                int.Parse(l.Split(' ')[^2], CultureInfo.InvariantCulture))];

        public async Task<long> MetricAsync(string name)
        {
            using var http = new HttpClient();
            var page = await http.GetStringAsync($"http://{Metrics.Authority}/metrics");
            return long.Parse(page.Split('\n').Single(l => l.StartsWith(name + " ", StringComparison.Ordinal))
                .Split(' ')[1], CultureInfo.InvariantCulture);
        }

        /// <summary>Returns when so many bytes wait for readers.</summary>
        public async Task QueuedAsync(int bytes)
        {
            using var expired = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            while (await MetricAsync("mortise_bytes_held") < bytes)
                await Task.Delay(20, expired.Token);
        }

        public async ValueTask DisposeAsync()
        {
            Ada.Abort();
            Bob.Abort();
            await Stopped.DisposeAsync();
            await Server.DisposeAsync();
        }
    }
}
