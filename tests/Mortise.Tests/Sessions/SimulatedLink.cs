namespace Mortise.Tests.Sessions;

/// <summary>A client and a server of numbered messages in a <see cref="Simulation"/>; what must hold of them.</summary>
internal sealed class SimulatedLink
{
    private static readonly Codec<ReadOnlyMemory<byte>> Frames = Codec.LengthPrefixed(sizeBytes: 2, maxFrame: 10_000);

    private readonly Simulation _world;
    private readonly int _id;
    private readonly Session<ReadOnlyMemory<byte>> _client;
    private readonly Connection _server;
    private readonly List<Task> _sends = [];
    private readonly Task _serving;
    private readonly Task _reading;
    private CancellationTokenSource _reads = new();
    private TaskCompletionSource? _held;
    private bool _finishing;
    private bool _violent;
    private bool _disposed;
    private bool _halfClosed;
    private int _sent;
    private int _accepted;
    private int _served;
    private int _answered;
    private int _clientClosed;
    private int _serverClosed;

    public SimulatedLink(Simulation world, int id, Connection client, Connection server)
    {
        _world = world;
        _id = id;
        _client = new Session<ReadOnlyMemory<byte>>(client, Frames);
        _server = server;
        client.Closed.UnsafeRegister(_ => _clientClosed++, null);
        server.Closed.UnsafeRegister(_ => _serverClosed++, null);
        _serving = ServeAsync();
        _reading = ReadAsync();
    }

    public void Send()
    {
        var frame = new byte[4 + _world.Roll(_world.Roll(4) == 0 ? 9000 : 50)];
        BitConverter.TryWriteBytes(frame, _sent + 1);
        if (_halfClosed || _client.CloseReason is not null)
            return;
        _sent++;
        _world.Trace("send", _id);
        _sends.Add(SendAsync(frame));
    }

    public void CancelRead()
    {
        var reads = _reads;
        _reads = new CancellationTokenSource();
        reads.Cancel();
    }

    public void LetHandlerGo()
    {
        var held = _held;
        _held = null;
        held?.SetResult();
    }

    public void HalfClose()
    {
        _halfClosed = true;
        _world.Trace("half-close", _id);
        _sends.Add(Quietly(_client.Connection.ShutdownSendAsync().AsTask()));
    }

    public void EndInput()
    {
        _violent = true;
        _world.Trace("end-input", _id);
        _server.EndInputFor(CloseReason.Drain);
    }

    public void Reset(bool byServer)
    {
        _violent = true;
        _world.Trace("reset", _id);
        (byServer ? _server : _client.Connection).Abort();
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = _violent = true;
        _world.Trace("dispose", _id);
        _sends.Add(Quietly(_client.DisposeAsync().AsTask()));
    }

    /// <summary>No more faults: whatever was begun must now come to its end.</summary>
    public void Finish()
    {
        _finishing = true;
        LetHandlerGo();
        if (!_halfClosed)
            HalfClose();
    }

    public void Verify()
    {
        Demand(_serving.IsCompletedSuccessfully, $"the server is stuck ({_serving.Status}; {State()})");
        Demand(_reading.IsCompletedSuccessfully, $"the client's read is stuck ({_reading.Status}; {State()})");
        Demand(_sends.TrueForAll(s => s.IsCompletedSuccessfully), $"a send is stuck ({State()})");
        if (!_violent)
            Demand(_served == _sent && _answered == _sent, $"{_sent} sent, {_served} served, {_answered} answered");
    }

    public void Abandon() => _client.Abort();

    public void VerifyEnd()
    {
        Demand(_clientClosed == 1 && _serverClosed == 1, $"Closed came {_clientClosed} and {_serverClosed} times");
        _world.Trace("end", _served * 10_000L + _answered);
    }

    private async Task ServeAsync()
    {
        var session = new Session<ReadOnlyMemory<byte>>(_server, Frames);
        await Quietly(session.RunAsync(async (s, frame) =>
        {
            var number = BitConverter.ToInt32(frame.Span);
            Demand(number == ++_served, $"served {number} instead of {_served}");
            _world.Trace("serve", number);
            if (!_finishing && _world.Roll(8) == 0)
            {
                _held ??= new TaskCompletionSource();
                await _held.Task;
                Demand(BitConverter.ToInt32(frame.Span) == number, "borrowed bytes changed while the handler waited");
            }

            await s.SendAsync(frame);
            _accepted++;
        }));
        await _server.CloseAsync(CloseReason.Local, TimeSpan.FromSeconds(5), TimeSpan.FromMilliseconds(200));
        _world.Trace("served", _served);
    }

    private async Task ReadAsync()
    {
        while (true)
        {
            try
            {
                var (some, frame) = await _client.TryReceiveAsync(_reads.Token);
                if (!some)
                    return;
                Demand(BitConverter.ToInt32(frame.Span) == ++_answered, $"answer {_answered} is out of order");
                _world.Trace("answer", _answered);
                Demand(_answered <= _served, "an answer was invented");
            }
            catch (OperationCanceledException)
            {
                _world.Trace("cancelled", _id);
            }
            catch (Exception e) when (e is ConnectionException or FrameException)
            {
                Demand(_violent, $"the client failed without a cause: {e.Message}");
                return;
            }
        }
    }

    private async Task SendAsync(byte[] frame) => await Quietly(_client.SendAsync(frame).AsTask());

    private async Task Quietly(Task task)
    {
        try
        {
            await task;
        }
        catch (Exception e) when (e is ConnectionException or FrameException)
        {
            Demand(_violent, $"failed without a cause: {e.Message}");
        }
    }

    private string State() => $"server {_server.CloseReason?.Name() ?? "open"}, {_server.BytesHeld} held, "
        + $"{_server.BytesQueued} queued; client {_client.CloseReason?.Name() ?? "open"}, "
        + $"{_client.Connection.BytesHeld} held, {_client.Connection.BytesQueued} queued; "
        + $"{_sent} sent, {_served} served, {_accepted} accepted, "
        + $"{_answered} answered, handler {(_held is null ? "free" : "held")}";

    private void Demand(bool condition, string failure) => _world.Demand(condition, $"link {_id}: {failure}");
}
