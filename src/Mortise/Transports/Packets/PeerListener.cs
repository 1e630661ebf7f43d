using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mortise.Telemetry;
using Mortise.Transports.Datagrams;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>
/// A datagram socket that serves many peers: the first datagram of each makes a connection, which waits to be accepted
/// like any other. The socket waits for nobody: what finds no room is dropped and counted.
/// </summary>
internal sealed class PeerListener : Listener
{
    private static readonly TimeSpan FaultPause = TimeSpan.FromMilliseconds(10);

    private readonly DatagramBatch _batch = new();
    private readonly PeerTable _table = new();
    private readonly Channel<PeerConnection> _newcomers;
    private readonly TimeProvider _time;
    private ServerCounters? _counters;
    private ILogger _log = NullLogger.Instance;
    private volatile bool _isClosed;
    private int _receiving;
    private int _toldAmplification;

    public PeerListener(Endpoint endpoint, TransportOptions options)
    {
        Socket = DatagramSocket.Bind(endpoint, options, counts: false);
        Sender = new PeerSender(Socket);
        Backlog = Math.Max(1, options.Backlog);
        AllowAmplification = options.AllowAmplification;
        Notes = Socket.Notes;
        Engine = "datagrams";
        _time = options.Time;
        _newcomers = Channel.CreateBounded<PeerConnection>(Backlog);
    }

    public override Endpoint Endpoint => Socket.LocalEndpoint;

    public override int Backlog { get; }

    public override int AcceptQueueLength => _newcomers.Reader.Count;

    public DatagramSocket Socket { get; }

    public PacketSender Sender { get; }

    public bool AllowAmplification { get; }

    internal override long KernelDrops => Socket.KernelDrops ?? 0;

    public override async ValueTask<Connection> AcceptAsync(CancellationToken cancellationToken = default)
    {
        BeginReceiving();
        try
        {
            while (true)
            {
                var peer = await _newcomers.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
                if (peer.CloseReason is null)
                    return peer;
            }
        }
        catch (ChannelClosedException e)
        {
            throw new OperationCanceledException($"The listener on {Endpoint} was closed.", e);
        }
    }

    public override bool TryAccept([NotNullWhen(true)] out Connection? connection)
    {
        BeginReceiving();
        connection = null;
        while (_newcomers.Reader.TryRead(out var peer))
        {
            if (peer.CloseReason is not null)
                continue;
            connection = peer;
            return true;
        }

        return false;
    }

    /// <summary>Peers live on, and the socket with the last of them.</summary>
    public override void Dispose()
    {
        _isClosed = true;
        _newcomers.Writer.TryComplete();
        while (_newcomers.Reader.TryRead(out var peer))
            peer.AbortFor(CloseReason.Local);
        if (_table.IsEmpty)
            Socket.Dispose();
    }

    /// <summary>A peer is over.</summary>
    public void Remove(PeerConnection peer)
    {
        if (_table.Remove(peer) && _isClosed)
            Socket.Dispose();
    }

    public void CountDropped(DropReason reason)
    {
        if (_counters is { } counters)
            counters.Dropped(reason);
        else
            LostPackets.Count(reason);
    }

    public void TellAmplification(PeerConnection peer, int bytes)
    {
        if (Interlocked.Exchange(ref _toldAmplification, 1) == 0)
            ServerLog.Amplification(_log, Endpoint.ToString(), bytes, peer.RemoteEndpoint.Authority);
    }

    internal override void Attach(ServerCounters counters, ILogger log) => (_counters, _log) = (counters, log);

    internal override void MakeRoom() => _table.Victim()?.AbortFor(CloseReason.RateLimit);

    private void BeginReceiving()
    {
        if (Interlocked.Exchange(ref _receiving, 1) == 0)
            _ = Task.Run(ReceiveAllAsync);
    }

    private async Task ReceiveAllAsync()
    {
        while (true)
        {
            try
            {
                var receiving = Socket.ReceiveBatchAsync(_batch);
                var isBusy = receiving.IsCompleted;
                await receiving.ConfigureAwait(false);
                for (var i = 0; i < _batch.Count; i++)
                    Deliver(_batch[i]);
                if (isBusy)
                    await Task.Yield(); // handlers need this thread, too
            }
            catch (ConnectionException e) when (e.CloseReason == CloseReason.Local)
            {
                return;
            }
            catch (Exception e)
            {
                // Whatever it was, it was the fault of one datagram or of the moment.
                ServerLog.ReceiveFault(_log, e, Endpoint.ToString());
                await Task.Delay(FaultPause).ConfigureAwait(false);
            }
        }
    }

    private void Deliver(Datagram datagram)
    {
        if (datagram.Truncated)
        {
            CountDropped(DropReason.Truncated); // a stump is no message
            return;
        }

        Span<byte> room = stackalloc byte[DatagramPath.KeyBytesMax];
        var key = room[..datagram.WriteKey(room)];
        var intake = _table.TryFind(key, out var peer) ? peer.Receive(datagram.Payload.Span) : Intake.Over;
        if (intake == Intake.Full)
            CountDropped(DropReason.Inbox);
        else if (intake == Intake.Over && !TryWelcome(datagram, key))
            CountDropped(DropReason.Newcomer);
    }

    /// <summary>False for one that cannot be served: the queue is full, the end has come, or it has no name.</summary>
    private bool TryWelcome(Datagram datagram, ReadOnlySpan<byte> key)
    {
        if (_isClosed || AcceptQueueLength >= Backlog || datagram.Peer.Host.Length == 0)
            return false;
        var peer = new PeerConnection(this, datagram.Path, key.ToArray(), _time);
        _table.Add(peer);
        peer.Receive(datagram.Payload.Span);
        if (_newcomers.Writer.TryWrite(peer))
            return true;
        peer.AbortFor(CloseReason.Local);
        return false;
    }
}
