using System.Buffers;
using System.Threading.Channels;
using Mortise.Telemetry;

namespace Mortise.Sessions.Groups;

/// <summary>That groups of one type of messages reach over a backplane.</summary>
internal abstract record BackplaneUse(IBackplane Backplane)
{
    public abstract Bridge Begin(GroupRegistry registry);
}

/// <summary>The same with its type.</summary>
internal sealed record BackplaneUse<T>(IBackplane Backplane, Codec<T> Codec,
    Action<long, IReadOnlyCollection<string>>? OnMissed) : BackplaneUse(Backplane)
{
    public override Bridge Begin(GroupRegistry registry) => new Bridge<T>(registry, this);
}

/// <summary>
/// The way between the groups of a server and its backplane. What is for the backplane waits here, bounded, and one
/// task hands it over: so nobody who broadcasts waits, and the backplane is called once at a time.
/// </summary>
internal abstract class Bridge(GroupRegistry registry, Type messages, IBackplane backplane) : IAsyncDisposable
{
    public const long WaitingBytesMax = 8 * 1024 * 1024;

    private const int OverheadBytes = 128;
    private static readonly TimeSpan RetryAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(1);

    /// <summary>
    /// A message for a group; neither: look at the groups that came or went; no message: try again what failed.
    /// </summary>
    private readonly Channel<(string? Group, byte[]? Message)> _waiting =
        Channel.CreateUnbounded<(string?, byte[]?)>();
    private readonly CancellationTokenSource _stop = new();
    private readonly HashSet<string> _unfollowed = [];

    /// <summary>Covers the next three: peers decide which groups there are, so one that came and went again waits for
    /// nothing. What waits is no more than the groups that are there and those that are followed.</summary>
    private readonly Lock _gate = new();
    private readonly HashSet<string> _changed = [];
    private readonly HashSet<string> _followed = [];
    private bool _isLookAsked;
    private Task? _running;
    private long _waitingBytes;
    private bool _isFailing;

    public Type Messages => messages;

    /// <summary>Messages, and groups to look at.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
                return _waiting.Reader.Count + _changed.Count;
        }
    }

    private ServerOptions Options => registry.Server.Options;

    public void Begin() => _running = Task.Run(RunAsync);

    /// <summary>The first came, or the last left.</summary>
    public void Look(string group)
    {
        lock (_gate)
        {
            if (IsWanted(group) == _followed.Contains(group))
            {
                _changed.Remove(group);
                return;
            }

            _changed.Add(group);
            if (_isLookAsked)
                return;
            _isLookAsked = true;
        }

        _waiting.Writer.TryWrite(default);
    }

    /// <summary>For the members elsewhere.</summary>
    public void Publish(string group, byte[] message)
    {
        if (Volatile.Read(ref _waitingBytes) > WaitingBytesMax)
        {
            Drop();
            return;
        }

        Interlocked.Add(ref _waitingBytes, message.Length + OverheadBytes);
        if (!_waiting.Writer.TryWrite((group, message)))
            Drop(); // the server has stopped
    }

    /// <summary>What waits gets a moment to leave.</summary>
    public async ValueTask DisposeAsync()
    {
        _waiting.Writer.TryComplete();
        if (_running is { } running)
            await running.WaitAsync(LeaveTimeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _stop.CancelAsync().ConfigureAwait(false);
    }

    protected void Drop() => registry.Server.Counters.Dropped(DropReason.Backplane);

    protected abstract IBackplaneReceiver Receiver { get; }

    private async Task RunAsync()
    {
        try
        {
            while (!await TryAsync("start", () => backplane.StartAsync(Receiver, _stop.Token)).ConfigureAwait(false))
                await Task.Delay(RetryAfter, Options.Time, _stop.Token).ConfigureAwait(false);
            await foreach (var (group, message) in _waiting.Reader.ReadAllAsync(_stop.Token).ConfigureAwait(false))
            {
                if (message is not null)
                    await PublishAsync(group!, message).ConfigureAwait(false);
                else
                    await FollowAllAsync(group is null ? TakeChanged() : TakeFailed()).ConfigureAwait(false);
            }
        }
        catch (Exception) when (_stop.IsCancellationRequested)
        {
            // The server has stopped, and whatever the backplane says of that is heard by nobody.
        }
    }

    private async Task PublishAsync(string group, byte[] message)
    {
        Interlocked.Add(ref _waitingBytes, -message.Length - OverheadBytes);
        if (!await TryAsync("publish", () => backplane.PublishAsync(group, message, _stop.Token)).ConfigureAwait(false))
            Drop();
    }

    private bool IsWanted(string group) => registry.Find(new(messages, group)) is not null;

    private async Task FollowAllAsync(string[] groups)
    {
        foreach (var group in groups)
            await FollowAsync(group).ConfigureAwait(false);
    }

    private async Task FollowAsync(string group)
    {
        bool wanted;
        lock (_gate)
        {
            // Noted before it is so: who comes or goes meanwhile asks for another look.
            wanted = IsWanted(group);
            if (!Note(group, wanted))
                return;
        }

        var followed = wanted
            ? await TryAsync("subscribe", () => backplane.SubscribeAsync(group, _stop.Token)).ConfigureAwait(false)
            : await TryAsync("unsubscribe", () => backplane.UnsubscribeAsync(group, _stop.Token)).ConfigureAwait(false);
        if (followed)
            return;
        lock (_gate)
            Note(group, !wanted);
        if (_unfollowed.Add(group) && _unfollowed.Count == 1)
            _ = AgainLaterAsync();
    }

    /// <summary>False where it was known.</summary>
    private bool Note(string group, bool isFollowed) => isFollowed ? _followed.Add(group) : _followed.Remove(group);

    private async Task AgainLaterAsync()
    {
        await Task.Delay(RetryAfter, Options.Time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _waiting.Writer.TryWrite(("", null));
    }

    private string[] TakeFailed()
    {
        string[] groups = [.. _unfollowed];
        _unfollowed.Clear();
        return groups;
    }

    private string[] TakeChanged()
    {
        lock (_gate)
        {
            string[] groups = [.. _changed];
            _changed.Clear();
            _isLookAsked = false;
            return groups;
        }
    }

    /// <summary>A failure is logged once, until something works again.</summary>
    private async Task<bool> TryAsync(string operation, Func<ValueTask> call)
    {
        try
        {
            await call().ConfigureAwait(false);
            _isFailing = false;
            return true;
        }
        catch (Exception e) when (!_stop.IsCancellationRequested)
        {
            if (!_isFailing)
                ServerLog.BackplaneFails(Options.Log, e, operation);
            _isFailing = true;
            return false;
        }
    }
}

/// <summary>The same with its type: what comes from elsewhere.</summary>
internal sealed class Bridge<T>(GroupRegistry registry, BackplaneUse<T> use)
    : Bridge(registry, typeof(T), use.Backplane), IBackplaneReceiver
{
    private readonly GroupRegistry _registry = registry;

    public Codec<T> Codec => use.Codec;

    protected override IBackplaneReceiver Receiver => this;

    public void Receive(string group, ReadOnlyMemory<byte> message)
    {
        if (_registry.Find(new(typeof(T), group)) is not { } room)
            return;
        try
        {
            var bytes = message.ToArray(); // members share it for as long as they like
            var frame = new ReadOnlySequence<byte>(bytes);
            FrameScan scan = default;
            // A torn frame would spoil the streams of all members.
            if (!use.Codec.Framing.TryRead(ref frame, ref scan, out var payload) || !frame.IsEmpty)
                throw new FrameException(CloseReason.FrameInvalid, "what came is not one whole frame",
                    "let all servers of a backplane have the same codec");
            var encodings = new Encodings<T>(_registry, group, use.Codec, bytes, payload);
            foreach (var roll in room.Rolls)
                if (encodings.In(roll.Codec) is { } encoded)
                    roll.Lane.Deliver(new Delivery(roll, encoded, exceptId: 0));
        }
        catch (Exception e)
        {
            ServerLog.BadFromBackplane(_registry.Server.Options.Log, e, group);
            Drop();
        }
    }

    public void Missed(long messages, IReadOnlyCollection<string> groups)
    {
        _registry.Server.Counters.Add(Metrics.BackplaneGap, messages);
        try
        {
            use.OnMissed?.Invoke(messages, groups);
        }
        catch (Exception e)
        {
            ServerLog.HandlerFault(_registry.Server.Options.Log, e, "of the backplane");
        }
    }
}
