using System.Collections.Concurrent;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>Joins servers of this process, and fails as a test wants.</summary>
internal sealed class MemoryBackplane(MemoryBackplane.Bus bus) : IBackplane
{
    private readonly ConcurrentDictionary<string, byte> _groups = new();
    private volatile IBackplaneReceiver? _receiver;

    /// <summary>What it was asked for, in order: <c>+lobby</c>, <c>-lobby</c>, <c>lobby</c> for a message.</summary>
    public ConcurrentQueue<string> Calls { get; } = new();

    /// <summary>Awaited before each message is taken.</summary>
    public Task Slowness { get; set; } = Task.CompletedTask;

    public bool IsBroken { get; set; }

    public int CallsAtOnce { get; private set; }

    public int MostCallsAtOnce { get; private set; }

    /// <summary>What the broker brings.</summary>
    public IBackplaneReceiver Receiver => _receiver ?? throw new InvalidOperationException("not started");

    public ValueTask StartAsync(IBackplaneReceiver receiver, CancellationToken cancellationToken) =>
        Asked("start", () =>
        {
            _receiver = receiver;
            bus.Nodes.Add(this);
        });

    public async ValueTask PublishAsync(string group, ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        MostCallsAtOnce = Math.Max(MostCallsAtOnce, ++CallsAtOnce);
        await Slowness.WaitAsync(cancellationToken);
        CallsAtOnce--;
        await Asked(group, () =>
        {
            foreach (var node in bus.Nodes.Where(n => n != this && n._groups.ContainsKey(group)))
            {
                Interlocked.Increment(ref bus.Delivered);
                node.Receiver.Receive(group, message.ToArray());
            }
        });
    }

    public ValueTask SubscribeAsync(string group, CancellationToken cancellationToken) =>
        Asked("+" + group, () => _groups[group] = 0);

    public ValueTask UnsubscribeAsync(string group, CancellationToken cancellationToken) =>
        Asked("-" + group, () => _groups.TryRemove(group, out _));

    private ValueTask Asked(string call, Action act)
    {
        if (!IsBroken)
            act();
        Calls.Enqueue(call); // now a test may rely on it
        return IsBroken ? throw new IOException("the broker is away") : default(ValueTask);
    }

    internal sealed class Bus
    {
        public ConcurrentBag<MemoryBackplane> Nodes { get; } = [];

        /// <summary>Messages that went to a node.</summary>
        public int Delivered;
    }
}
