using Mortise.Peers.Chatting;
using Mortise.Peers.Returning;
using Mortise.Peers.Running;

namespace Mortise.Peers.Soaking;

/// <summary>A long run: what it is called, on which engines it runs, and how.</summary>
/// <param name="Name">As the command writes it.</param>
/// <param name="About">For the help: what happens, and how long it takes.</param>
/// <param name="Engines">In this order; one that the machine does not have is left out.</param>
/// <param name="OnOneEngine">Only on the first of them that the machine has.</param>
/// <param name="RunAsync">Adds figures to the run; throws <see cref="BenchException"/> when it cannot go on.</param>
internal sealed record Soak(string Name, string About, string[] Engines, bool OnOneEngine,
    Func<SoakRun, Task> RunAsync)
{
    private static readonly string[] Loops = ["io_uring", "epoll"], Every = [.. Loops, "managed"];

    public static readonly Soak[] All =
    [
        new("idle", "18,000 connections to one server, a minute of silence; 5 minutes for two engines", Loops, false,
            IdleSoak.RunAsync),
        new("many", "100,000 connections over 6 servers on one port, each pinged every minute; 11 minutes", Loops, true,
            ManySoak.RunAsync),
        new("churn", "200,000 connect, echo, close, half by reset, beside a plain socket; 5 minutes for three engines",
            Every, false, ChurnSoak.RunAsync),
        new("stampede", "every 10 ms something ends at random; a minute for each of three engines", Every, false,
            StampedeSoak.RunAsync),
        new("returning", "clients of every policy while their server is killed 50 times; half a minute for each engine",
            Every, false, ReturningSoak.RunAsync),
        new("mixed", "2,000 clients at 10,000 messages a second, others that come and go, hostile ones; an hour", Loops,
            true, MixedSoak.RunAsync),
        new("udp", "a million datagrams echoed, a flood, a million forged senders; 2 minutes", ["managed"], true,
            UdpSoak.RunAsync),
        new("chat", "mortise serve chat: a reader stopped for 30 s, then bad networks for 10 minutes", Loops, true,
            ChatSoak.RunAsync),
    ];

    public static string Usage => $"""
        soak [NAME] [--minutes M] [--engine io_uring|epoll|managed] [--seed S] [--connections N] [--quick] [--out DIR]
        {string.Join('\n', All.Select(s => $"  {s.Name,-12} {s.About}"))}
          without a NAME: all of them, one after the other, an hour and a half
          --minutes    how long what a soak waits or works for; churn has a number of connections instead
          --engine     one engine in place of those it usually runs on
          --seed       of everything that is random ({BenchOptions.UsualSeed})
          --quick      seconds in place of minutes: shows that it works, judges neither memory nor rates
          --out        folder for the page and the raw data (artifacts/soak; --quick writes none without it)
        """;

    /// <exception cref="FormatException">There is no such soak.</exception>
    public static Soak Named(string name) => Array.Find(All, s => s.Name == name)
        ?? throw new FormatException($"no soak '{name}'; there are: {string.Join(", ", All.Select(s => s.Name))}");
}
