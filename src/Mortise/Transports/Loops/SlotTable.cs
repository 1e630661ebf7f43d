namespace Mortise.Transports.Loops;

/// <summary>What the two tables of a poller share: how a tag that the kernel carries is laid out.</summary>
internal static class SlotTable
{
    /// <summary>Set in the tag of a <see cref="Watch"/>, not of a connection.</summary>
    public const ulong WatchKind = 1ul << 63;

    public const ulong WakeTag = ulong.MaxValue;
}

/// <summary>
/// Objects under small numbers that the kernel carries for us. A number is used again only with another generation, so
/// that late news of what was there before finds nobody.
/// </summary>
internal sealed class SlotTable<T>
    where T : class
{
    private const int GenerationMask = 0xFF_FFFF;

    private readonly Stack<int> _free = new();
    private (T? Item, int Generation)[] _slots = new (T?, int)[64];
    private int _used;

    public int Count => _used - _free.Count;

    public int Add(T item)
    {
        if (!_free.TryPop(out var slot))
        {
            if (_used == _slots.Length)
                Array.Resize(ref _slots, _slots.Length * 2);
            slot = _used++;
        }

        _slots[slot].Item = item;
        return slot;
    }

    public void Free(int slot)
    {
        _slots[slot].Item = null;
        _slots[slot].Generation = (_slots[slot].Generation + 1) & GenerationMask;
        _free.Push(slot);
    }

    /// <summary>Generation above slot: 24 and 32 bits.</summary>
    public ulong Tag(int slot) => (ulong)(uint)_slots[slot].Generation << 32 | (uint)slot;

    public void ForEach(Action<T> action)
    {
        for (var slot = 0; slot < _used; slot++)
            if (_slots[slot].Item is { } item)
                action(item);
    }

    public T? Find(ulong tag)
    {
        var slot = (uint)tag;
        if (slot >= (uint)_used)
            return null;
        ref var entry = ref _slots[slot];
        return entry.Generation == (int)(tag >> 32 & GenerationMask) ? entry.Item : null;
    }
}
