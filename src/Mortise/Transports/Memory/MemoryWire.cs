using Mortise.Transports.Pipes;

namespace Mortise.Transports.Memory;

/// <summary>One end of a connection in this process: a lane in and a lane out.</summary>
internal sealed class MemoryWire(MemoryLane receive, MemoryLane send, Action<Action> post) : Wire
{
    public override int TryReceive(Memory<byte> buffer) => receive.Take(buffer.Span);

    public override ValueTask WaitReadableAsync() => receive.WaitReadableAsync();

    public override void WakeReader() => receive.Wake();

    public override int TrySend(ReadOnlyMemory<byte> bytes) => send.Put(bytes.Span);

    public override int TrySend(IList<ArraySegment<byte>> buffers)
    {
        var total = 0;
        foreach (var buffer in buffers)
        {
            var taken = send.Put(buffer);
            total += taken;
            if (taken < buffer.Count)
                break;
        }

        return total;
    }

    public override async ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (true)
        {
            await send.WaitWritableAsync().ConfigureAwait(false);
            var taken = send.Put(bytes.Span);
            if (taken > 0)
                return taken;
        }
    }

    public override void ShutdownSend() => send.Finish();

    public override void Close(bool reset)
    {
        if (reset)
        {
            send.Reset();
            receive.Reset();
        }
        else
        {
            send.Finish();
            receive.Reset();
        }
    }

    /// <summary>Everything runs where the network posts it, in that order, so that a seed replays.</summary>
    public override TaskCreationOptions Continuations => TaskCreationOptions.None;

    public override void Post<TState>(Action<TState> work, TState state) => post(() => work(state));
}
