namespace Mortise.Addresses;

/// <summary>Found answers for as long as their time to live. Failures are not kept: the next call asks again.</summary>
internal sealed class HostCache(TimeProvider clock)
{
    private const int EntriesMax = 1024;
    private static readonly TimeSpan KeptMax = TimeSpan.FromHours(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, (HostEntry Entry, DateTimeOffset Until)> _entries = [];

    /// <summary>The kept answer with the time it has left, or null.</summary>
    public HostEntry? Find(string name)
    {
        lock (_gate)
        {
            if (!_entries.TryGetValue(name, out var kept))
                return null;
            var left = kept.Until - clock.GetUtcNow();
            return left > TimeSpan.Zero ? kept.Entry with { TimeToLive = left } : null;
        }
    }

    public void Keep(string name, HostEntry entry)
    {
        if (entry.TimeToLive is not { } timeToLive || timeToLive <= TimeSpan.Zero)
            return;
        var now = clock.GetUtcNow();
        lock (_gate)
        {
            if (_entries.Count >= EntriesMax)
                MakeRoom(now);
            _entries[name] = (entry, now + (timeToLive < KeptMax ? timeToLive : KeptMax));
        }
    }

    private void MakeRoom(DateTimeOffset now)
    {
        foreach (var name in _entries.Where(kept => kept.Value.Until <= now).Select(kept => kept.Key).ToArray())
            _entries.Remove(name);
        if (_entries.Count >= EntriesMax)
            _entries.Clear();
    }
}
