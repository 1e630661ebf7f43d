using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Mortise.Errors;

namespace Mortise;

/// <summary>Many datagrams with one system call.</summary>
public sealed partial class DatagramSocket
{
    // A full send buffer drains within a packet or two; no event tells of it that would not also send something.
    private static readonly TimeSpan RoomPause = TimeSpan.FromMilliseconds(1);

    /// <summary>
    /// Waits until a datagram is there and takes it with all that came since: on Linux up to
    /// <see cref="DatagramBatch.Capacity"/> with one recvmmsg(2), elsewhere one. What was in the batch is gone.
    /// </summary>
    /// <returns>How many, at least 1; also <see cref="DatagramBatch.Count"/>.</returns>
    /// <exception cref="ConnectionException">A connected peer refused an earlier datagram (ICMP port unreachable): call
    /// again to go on. Or the socket was closed.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))] // a wait for each batch, without an allocation
    public async ValueTask<int> ReceiveBatchAsync(DatagramBatch batch, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(batch);
        cancellationToken.ThrowIfCancellationRequested();
        batch.Offer(this);
        if (!OperatingSystem.IsLinux())
        {
            batch.Take(await ReceiveAsync(batch.FirstBuffer, cancellationToken).ConfigureAwait(false));
            return 1;
        }

        try
        {
            // A receive of zero bytes waits for a datagram and leaves it in the queue.
            while (!TryReceive(batch))
                await _socket.ReceiveAsync(Memory<byte>.Empty, cancellationToken).ConfigureAwait(false);
            return batch.Count;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Failure("recv", _peer ?? LocalEndpoint, e);
        }
    }

    /// <summary>
    /// Sends all datagrams of the batch, on Linux with as few sendmmsg(2) as the send buffer allows. One that cannot go
    /// (too long, no route, nobody there) holds up no other: its <see cref="Datagram.Failure"/> says why it stayed.
    /// </summary>
    /// <returns>How many went.</returns>
    /// <exception cref="ConnectionException">The socket was closed.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<int> SendBatchAsync(DatagramBatch batch, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(batch);
        cancellationToken.ThrowIfCancellationRequested();
        if (!OperatingSystem.IsLinux())
            return await SendEachAsync(batch, cancellationToken).ConfigureAwait(false);
        try
        {
            var places = Aim(batch);
            for (var next = 0; next < places;)
                if (!TrySend(batch, ref next, places))
                    await Task.Delay(RoomPause, cancellationToken).ConfigureAwait(false);
            return Sent(batch);
        }
        catch (ObjectDisposedException e)
        {
            throw Failure("send", _peer ?? LocalEndpoint, e);
        }
    }

    /// <summary>Takes what is there; false where nothing is.</summary>
    private bool TryReceive(DatagramBatch batch)
    {
        while (true)
        {
            var received = batch.Vector.Receive(_handle, batch.Capacity);
            if (received >= 0)
            {
                batch.Take(received);
                CountReceived(batch);
                return true;
            }

            if (received == -Eagain)
                return false;
            if (received != -Eintr)
                throw Failures.Transfer("recv", (_peer ?? LocalEndpoint).ToString(), -received);
        }
    }

    /// <summary>Gives places in the call to those that have somewhere to go; how many do.</summary>
    private int Aim(DatagramBatch batch)
    {
        var places = 0;
        for (var i = 0; i < batch.Count; i++)
        {
            var datagram = batch[i];
            datagram.Failure = _peer is not null || datagram.Aim(_socket.AddressFamily) ? null
                : IsForeign(datagram.Peer) ? Foreign(datagram.Peer)
                : Stayed(datagram, Edestaddrreq);
            if (datagram.Failure is not null)
                continue;
            batch.Places[places] = datagram;
            datagram.Describe(places++, toPeer: _peer is null, fromLocal: batch.CameBy(this));
        }

        return places;
    }

    /// <summary>Sends from this place on as far as it goes; false where the send buffer is full.</summary>
    private bool TrySend(DatagramBatch batch, ref int next, int places)
    {
        var sent = batch.Vector.Send(_handle, next, places - next);
        if (sent >= 0)
        {
            next += sent;
            return true;
        }

        if (sent == -Eintr)
            return true;
        // A Unix receiver that does not read is no reason to leave the others waiting, and nothing tells when it does.
        if (sent == -Eagain && (Kind == EndpointKind.Udp || _peer is not null))
            return false;
        var stayed = batch.Places[next++];
        stayed.Failure = Stayed(stayed, -sent);
        return true;
    }

    private ConnectionException Stayed(Datagram datagram, int errno)
    {
        var to = _peer ?? datagram.Peer;
        return Failures.Transfer("send", (to.Authority.Length > 0 ? to : LocalEndpoint).ToString(), errno, errno switch
        {
            Emsgsize => Limit(datagram.Length, to),
            Eagain => "the receiver's queue is full",
            Edestaddrreq => "the datagram has no peer: set it, or bind a name on a Unix sender",
            _ => null,
        });
    }

    private async ValueTask<int> SendEachAsync(DatagramBatch batch, CancellationToken cancellationToken)
    {
        foreach (var datagram in batch)
        {
            try
            {
                datagram.Failure = null;
                await SendToAsync(datagram.Payload, _peer ?? datagram.Peer, cancellationToken).ConfigureAwait(false);
            }
            catch (ConnectionException e) when (e.CloseReason != CloseReason.Local)
            {
                datagram.Failure = e;
            }
        }

        return batch.Count(d => d.Failure is null);
    }

    private int Sent(DatagramBatch batch)
    {
        var (sent, bytes) = (0, 0L);
        for (var i = 0; i < batch.Count; i++)
            if (batch[i] is { Failure: null } datagram)
                (sent, bytes) = (sent + 1, bytes + datagram.Length);
        CountSent(bytes);
        return sent;
    }

    private void CountReceived(DatagramBatch batch)
    {
        var (bytes, truncated) = (0L, 0);
        for (var i = 0; i < batch.Count; i++)
            (bytes, truncated) = (bytes + batch[i].Length, truncated + (batch[i].Truncated ? 1 : 0));
        CountReceived(batch.Count, bytes, truncated);
    }
}
