using System.Diagnostics;
using System.Globalization;

namespace Mortise.Peers.Chatting;

/// <summary>
/// Two rooms, people and programs in each, all behind bad networks. Some lose their connections again and again; those
/// that keep them must hear everything that anybody else said, whole, and all in the same order.
/// </summary>
internal sealed class ChatRound(ChatServer server, int seed, TimeSpan time)
{
    private const int SurvivorsPerRoom = 6, MortalsPerRoom = 3, PaddingMax = 1500;
    private const int PauseMillisecondsMax = 60;

    private static readonly TimeSpan EnterMax = TimeSpan.FromSeconds(20);

    private int _proxies;
    private int _mortals;

    public long Heard { get; private set; }

    public long Torn { get; private set; }

    public long Lost { get; private set; }

    public long Missed { get; private set; }

    /// <summary>Messages that somebody heard in another order than somebody else.</summary>
    public long Exchanged { get; private set; }

    public int Resets => _mortals;

    public async Task RunAsync() => await Task.WhenAll(RoomAsync("east"), RoomAsync("west"));

    private async Task RoomAsync(string name)
    {
        var room = string.Create(CultureInfo.InvariantCulture, $"{name}{seed}");
        var proxies = new List<ChaosProxy>();
        var members = new List<ChatMember>();
        try
        {
            for (var i = 0; i < SurvivorsPerRoom; i++)
                members.Add(await EnterAsync(proxies, room, $"{name[0]}{i}", isJson: i % 2 == 0));
            using var over = new CancellationTokenSource(time);
            var names = members.Select(m => m.Name).ToList();
            var hearing = members.Select(m => m.HearAsync([.. names.Where(n => n != m.Name)])).ToList();
            var mortals = Enumerable.Range(0, MortalsPerRoom).Select(i => DieAsync(room, i, over.Token)).ToList();
            await Task.WhenAll(members.Select((m, i) => TalkAsync(m, new Random(seed + i), over.Token)));
            await Task.WhenAll(mortals);
            foreach (var member in members)
                await member.SayDoneAsync();
            await Task.WhenAll(hearing);
            Judge(members);
        }
        finally
        {
            foreach (var member in members)
                member.Abort();
            foreach (var proxy in proxies)
                proxy.Dispose();
        }
    }

    private void Judge(List<ChatMember> members)
    {
        lock (this)
        {
            foreach (var member in members)
            {
                Heard += member.Log.Count;
                Torn += member.Torn;
                Lost += member.Lost;
                Missed += member.Missed;
                // Nobody hears himself: what two others heard of the rest must be the same.
                bool IsOfBoth((string Name, int) line) => line.Name != member.Name && line.Name != members[0].Name;
                var (one, other) = (members[0].Log.Where(IsOfBoth), member.Log.Where(IsOfBoth));
                Exchanged += one.Zip(other).Count(pair => pair.First != pair.Second);
                Lost += Math.Abs(one.Count() - other.Count());
            }
        }
    }

    /// <summary>Comes, talks, is reset in the middle of a word, and comes again under another name.</summary>
    private async Task DieAsync(string room, int index, CancellationToken over)
    {
        var random = new Random(seed * 31 + index);
        while (!over.IsCancellationRequested)
        {
            var proxies = new List<ChaosProxy>();
            try
            {
                var number = Interlocked.Increment(ref _mortals);
                var name = string.Create(CultureInfo.InvariantCulture, $"m{room}-{number}");
                var mortal = await EnterAsync(proxies, room, name, isJson: random.Next(2) == 0);
                using var life = CancellationTokenSource.CreateLinkedTokenSource(over);
                life.CancelAfter(random.Next(100, 1500));
                var hearing = mortal.HearAsync([room]); // for ever
                await TalkAsync(mortal, random, life.Token);
                proxies[0].Reset();
                await hearing;
            }
            catch (Exception e) when (e is MortiseException or TimeoutException)
            {
                // that is what it is for
            }
            finally
            {
                proxies.ForEach(p => p.Dispose());
            }
        }
    }

    private async Task<ChatMember> EnterAsync(List<ChaosProxy> proxies, string room, string name, bool isJson)
    {
        var proxy = new ChaosProxy(isJson ? server.Json : server.Lines,
            seed * 1000 + Interlocked.Increment(ref _proxies));
        proxies.Add(proxy);
        return await ChatMember.EnterAsync(proxy.Port, isJson, name, room).WaitAsync(EnterMax);
    }

    private static async Task TalkAsync(ChatMember member, Random random, CancellationToken over)
    {
        for (var watch = Stopwatch.StartNew(); !over.IsCancellationRequested;)
        {
            var padding = new string(random.Next(3) == 0 ? '榫' : 'x', random.Next(PaddingMax) / 3);
            await member.SayAsync(padding);
            await Task.Delay(random.Next(PauseMillisecondsMax), CancellationToken.None);
        }
    }
}
