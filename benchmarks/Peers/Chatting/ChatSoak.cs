using System.Diagnostics;
using Mortise.Peers.Soaking;

namespace Mortise.Peers.Chatting;

/// <summary>
/// The chat under a stopped reader, and then for ten minutes behind bad networks: round after round in fresh rooms,
/// each with the next seed, until the time is over.
/// </summary>
internal static class ChatSoak
{
    public static async Task RunAsync(SoakRun run)
    {
        await StoppedReader.RunAsync(run);
        var time = run.Time(TimeSpan.FromMinutes(10), quick: TimeSpan.FromSeconds(2));
        var each = time < TimeSpan.FromSeconds(20) ? time : TimeSpan.FromSeconds(20);
        using var server = await ChatServer.StartAsync(run.Engine);
        var rounds = new List<ChatRound>();
        for (var watch = Stopwatch.StartNew(); rounds.Count == 0 || watch.Elapsed < time;)
        {
            rounds.Add(new ChatRound(server, run.Seed + rounds.Count, each));
            await rounds[^1].RunAsync();
            if (!run.IsQuick)
                Console.WriteLine($"{watch.Elapsed.TotalMinutes:F1} min: {rounds.Sum(r => r.Heard)} messages heard, "
                    + $"{rounds.Sum(r => r.Lost)} lost, {rounds.Sum(r => r.Torn)} torn");
        }

        run.Tell("seed of the first round", run.Seed);
        run.AtLeast("connections that were reset", rounds.Sum(r => r.Resets), rounds.Count);
        run.AtLeast("messages heard by those that kept theirs", rounds.Sum(r => r.Heard), rounds.Count * 100);
        run.None("torn", rounds.Sum(r => r.Torn));
        run.None("lost or doubled", rounds.Sum(r => r.Lost));
        run.None("heard in another order than by others", rounds.Sum(r => r.Exchanged));
        run.None("dropped for readers that were not slow", rounds.Sum(r => r.Missed));
        run.None("handlers that threw", await server.MetricAsync("mortise_handler_faults_total"));
    }
}
