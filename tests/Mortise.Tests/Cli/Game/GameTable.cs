using System.Text;
using Mortise.Cli.Serve.Game;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Cli.Game;

/// <summary>A game server in this process, on a clock of the test's.</summary>
internal sealed class GameTable : IAsyncDisposable
{
    private readonly MemoryNetwork _network = new();
    private readonly SocketServer _server;
    private readonly List<Session<string>> _players = [];

    public GameTable(TimeProvider time)
    {
        Hall = new GameHall(time, Encoding.UTF8);
        var rules = new GameRules("end"u8.ToArray(), "Server to client!"u8.ToArray(), Encoding.UTF8, Hall);
        var codec = Codec.Frames(Mortise.Framing.Parse("line"));
        _server = SocketServer.Start("mem:game", c => GamePlayer.ServeAsync(c, codec, rules, null), o =>
        {
            o.Transport.Memory = _network;
            o.SlowReaders = SlowReaders.DropOldest;
        });
    }

    public GameHall Hall { get; }

    public long Connections => _server.Statistics.Current;

    /// <summary>Who is connected and plays there: those away are left out.</summary>
    public int Connected(string room) => _server.Groups<ReadOnlyMemory<byte>>()["game " + room].Count;

    public async Task<Session<string>> EnterAsync()
    {
        var session = await SocketClient.ConnectAsync("mem:game", Codec.Lines(), o => o.Transport.Memory = _network);
        _players.Add(session);
        return session;
    }

    public async Task<(Session<string> Player, string Token)> JoinAsync(string room, string name)
    {
        var player = await EnterAsync();
        await player.SendAsync($"/join {room} {name}");
        var joined = await player.ReceiveAsync(Limits.Soon);
        Assert.Matches($"^joined {room} as {name} token=[0-9a-f]{{32}} field=40x16$", joined);
        return (player, joined.Split("token=")[1][..32]);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var player in _players)
            player.Abort();
        await _server.DisposeAsync();
    }
}

/// <summary>A clock whose timers fire when the test says so, however late.</summary>
internal sealed class LateTime : TimeProvider
{
    private Action? _fire;

    public TimeSpan Now { get; set; }

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Now.Ticks;

    /// <summary>Calls back the one timer.</summary>
    public void Fire() => _fire!();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        _fire = () => callback(state);
        return new Nothing();
    }

    private sealed class Nothing : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
            // There is no timer behind it.
        }

        public ValueTask DisposeAsync() => default;
    }
}
