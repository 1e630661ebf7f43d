namespace Mortise.Cli.Serve.Kinds;

/// <summary>
/// Echo over datagrams: every sender gets its own message back, also an empty one. One answer for one datagram and no
/// longer than it: whoever forges a sender gains nothing. Answers leave from the address that was asked.
/// </summary>
internal sealed class DatagramEcho(DatagramSocket socket, ServeLog log, Func<Endpoint, bool> admits, Chaos? chaos)
    : IDisposable
{
    private readonly DatagramBatch _batch = new();
    private bool _warned, _warnedOfDrops;

    public DatagramSocket Socket { get; } = socket;

    public long Answered { get; private set; }

    /// <summary>Answers until the token is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await Socket.ReceiveBatchAsync(_batch, cancellationToken);
                WarnOfDrops();
                for (var i = 0; i < _batch.Count;)
                    if (IsAnswered(_batch[i]))
                        i++;
                    else
                        _batch.RemoveAt(i);
                Answered += await Socket.SendBatchAsync(_batch, cancellationToken);
                for (var i = 0; i < _batch.Count; i++)
                    Tell(_batch[i]);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (MortiseException e)
            {
                // One peer that went away or is not reachable is no reason to leave the others.
                WarnOnce(TerminalText.Escape(e.Message));
            }
        }
    }

    public void Dispose() => Socket.Dispose();

    private bool IsAnswered(Datagram datagram)
    {
        if (chaos?.Loses() == true || !admits(datagram.Peer))
            return false;
        if (Socket.LocalEndpoint.IsUnix && datagram.Peer.Host.Length == 0)
        {
            if (log.WantsMessages)
                log.Datagram(datagram.Peer, datagram.Payload.Span, answered: false);
            else
                WarnOnce("a sender without a name cannot be answered: it must bind its own unixgram: address");
            return false;
        }

        if (datagram.Truncated)
            WarnOnce($"a datagram was longer than {datagram.Length} B and its rest is lost");
        return true;
    }

    private void Tell(Datagram datagram)
    {
        if (datagram.Failure is { } failure)
            WarnOnce(TerminalText.Escape(failure.Message));
        else if (log.WantsMessages)
            log.Datagram(datagram.Peer, datagram.Payload.Span, answered: true);
    }

    /// <summary>A queue that was full fills a whole batch: only then the kernel is asked.</summary>
    private void WarnOfDrops()
    {
        if (_warnedOfDrops || _batch.Count < _batch.Capacity || Socket.KernelDrops is not > 0)
            return;
        _warnedOfDrops = true;
        log.Warn($"{Socket.LocalEndpoint}: the kernel drops datagrams, the receive queue of "
            + $"{Socket.GetSocketBuffers().Receive} B was full; a larger --rcvbuf holds longer bursts");
    }

    private void WarnOnce(string text)
    {
        if (_warned)
            return;
        _warned = true;
        log.Warn($"{Socket.LocalEndpoint}: {text}");
    }
}
