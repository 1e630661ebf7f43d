using Mortise.Transports.Kernel;
using Mortise.Transports.Loops;

namespace Mortise.Transports.Linux;

/// <summary>
/// An accepted descriptor on its way to a loop. It becomes a connection only there, so one that a blocked loop does not
/// pick up can still go to another.
/// </summary>
internal sealed class LoopNewcomer(LoopGroup group, int fd, Endpoint local, Endpoint remote, TransportOptions options)
    : Newcomer
{
    private Action<Connection>? _serve;
    private bool _atHome;
    private int _pickedUp;

    public override Endpoint Remote => remote;

    /// <summary>The group's own: where it was sent to last.</summary>
    public LoopGroup.Place? Place { get; set; }

    /// <summary>The group's own: when that was, in ms.</summary>
    public long SentAt { get; set; }

    public bool IsPickedUp => Volatile.Read(ref _pickedUp) == 1;

    public override void Enter(Action<Connection> serve, bool atHome)
    {
        _serve = serve;
        _atHome = atHome;
        group.HandOver(this);
    }

    public override unsafe void Refuse(CloseReason reason)
    {
        // Without lingering a close is a reset: the peer is to know at once (socket(7), SO_LINGER).
        var onForZeroSeconds = stackalloc int[2] { 1, 0 };
        _ = Libc.SetSocketOption(fd, Libc.SolSocket, Libc.SoLinger, onForZeroSeconds, 2 * sizeof(int));
        _ = Libc.Close(fd);
    }

    public void Send(EventLoop loop) => loop.Post(static n => ((LoopNewcomer)n!).Arrive(), this);

    /// <summary>On a loop's thread; only the first loop that comes to it has it.</summary>
    private void Arrive()
    {
        if (Interlocked.Exchange(ref _pickedUp, 1) == 1)
            return;
        var connection = new LoopConnection(EventLoop.Current!, fd, local, remote, options) { RunsAtHome = _atHome };
        group.PickedUp(this); // after: between the two it must not look as if nobody had come
        connection.Begin();
        if (_atHome)
            connection.Loop.Run(connection, _serve!);
        else
            connection.Start(_serve!, atHome: false);
    }
}
