namespace Mortise.Cli.Serve.Kinds;

/// <summary>Echo over datagrams: every sender gets its own message back, one for one, also an empty one.</summary>
internal sealed class DatagramEcho(DatagramSocket socket, ServeLog log) : IDisposable
{
    private bool _warned;

    /// <summary>Where it listens, with the real port.</summary>
    public Endpoint Endpoint { get; } = socket.LocalEndpoint;

    public long Answered { get; private set; }

    /// <summary>Answers until the token is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var buffer = new byte[64 * 1024];
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                var got = await socket.ReceiveAsync(buffer, cancellationToken);
                var named = got.From.Host.Length > 0;
                if (named)
                    await socket.SendToAsync(buffer.AsMemory(0, got.Length), got.From, cancellationToken);
                Answered += named ? 1 : 0;
                if (log.WantsMessages)
                    log.Datagram(got.From, buffer.AsSpan(0, got.Length), named);
                else if (!named)
                    WarnOnce("a sender without a name cannot be answered: it must bind its own unixgram: address");
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

    public void Dispose() => socket.Dispose();

    private void WarnOnce(string text)
    {
        if (_warned)
            return;
        _warned = true;
        log.Warn($"{Endpoint}: {text}");
    }
}
