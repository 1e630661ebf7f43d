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

    [Fact]
    public async Task A_stopped_terminal_is_told_what_it_missed_and_the_others_get_everything_in_order()
    {
        await using var chat = await TalkAsync();
        chat.Stopped.Nc.Signal("CONT");
        await chat.Ada.SendAsync("the end");
        await chat.Stopped.SeesAsync("the end");
        var heard = chat.Numbers();
        var missed = chat.Stopped.Nc.OutputLines.Select(l => MissedLine().Match(l)).Where(m => m.Success)
            .Sum(m => int.Parse(m.Groups[1].Value, NumberStyles.AllowThousands, CultureInfo.InvariantCulture));
        Assert.Equal(Lines, heard.Count + missed);
        Assert.InRange(missed, 1, Lines - 1);
        Assert.Equal(heard.Order().Distinct(), heard);
        await chat.Server.ErrorAsync("reads too slowly, .* bytes wait: drop_oldest");
        Assert.Equal(missed, await chat.MetricAsync("mortise_dropped_total{reason=\"slow_reader\"}"));
        Row.Observed("L12", $"nc stopped with SIGSTOP while {Lines} lines of 4 KB were said: the other heard all in "
            + $"order; resumed, it read {heard.Count} and was told that it missed {missed}; log and metric say so");
    }

    private static async Task<Chat> TalkAsync(params string[] flags)
    {
        var server = MortiseProcess.Start(["serve", "chat", ":0", "--flood", "100000", "--sndbuf", "16KiB",
            "--metrics", ":0", "--json", .. flags]);
        var listening = await server.EventAsync("listening");
        var at = Endpoint.Parse(listening.GetProperty("endpoint").GetString()!);
        var chat = new Chat(server, await Terminal.EnterAsync(at, "cy"), await EnterAsync(at), await EnterAsync(at),
            Endpoint.Parse(listening.GetProperty("metrics").GetString()!));
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

        public async ValueTask DisposeAsync()
        {
            Ada.Abort();
            Bob.Abort();
            await Stopped.DisposeAsync();
            await Server.DisposeAsync();
        }
    }
}
