using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Mortise.Sessions.Groups;

/// <summary>Groups of different messages do not know each other, whatever their names.</summary>
internal readonly record struct RoomKey(Type Messages, string Name);

/// <summary>
/// The members of one group. They stand in rolls: those that live on the same loop and speak the same codec, so that a
/// broadcast is encoded once for each codec and posted once to each loop. Its own lock covers joining and leaving;
/// whoever sends takes the rolls as they stand and holds nothing.
/// </summary>
internal sealed class Room(RoomKey key)
{
    private readonly Dictionary<(Lane Lane, object Codec), Cohort> _cohorts = [];
    private ImmutableArray<Roll> _rolls = [];
    private bool _stale;
    private int _count;
    private bool _isGone;

    public RoomKey Key => key;

    public int Count => Volatile.Read(ref _count);

    /// <summary>False when the group has just vanished: the caller makes another.</summary>
    public bool TryAdd(Member member, out bool added)
    {
        lock (_cohorts)
        {
            added = false;
            if (_isGone)
                return false;
            ref var cohort = ref CollectionsMarshal.GetValueRefOrAddDefault(_cohorts, (member.Lane, member.Codec),
                out _);
            cohort ??= new Cohort(member.Lane, member.Codec);
            added = cohort.Members.TryAdd(member.Id, member);
            if (added)
                Change(cohort, +1);
            return true;
        }
    }

    /// <summary>The last one to leave takes the group along.</summary>
    public bool Remove(Member member, out bool isEmpty)
    {
        lock (_cohorts)
        {
            isEmpty = false;
            if (!_cohorts.TryGetValue((member.Lane, member.Codec), out var cohort) || !cohort.Members.Remove(member.Id))
                return false;
            Change(cohort, -1);
            if (cohort.Members.Count == 0)
                _cohorts.Remove((member.Lane, member.Codec));
            _isGone = isEmpty = _count == 0;
            return true;
        }
    }

    public bool Contains(Member member)
    {
        lock (_cohorts)
            return _cohorts.TryGetValue((member.Lane, member.Codec), out var cohort)
                && cohort.Members.ContainsKey(member.Id);
    }

    public Member? Find(long id)
    {
        lock (_cohorts)
        {
            foreach (var cohort in _cohorts.Values)
                if (cohort.Members.TryGetValue(id, out var member))
                    return member;
            return null;
        }
    }

    /// <summary>
    /// Those of one codec stand side by side. Made anew only after somebody came or went, and only where: copying
    /// references is little beside the broadcast that asks for it.
    /// </summary>
    public ImmutableArray<Roll> Rolls
    {
        get
        {
            lock (_cohorts)
            {
                if (_stale)
                    _rolls = [.. _cohorts.Values.GroupBy(c => c.Codec).SelectMany(g => g).Select(c => c.Roll)];
                _stale = false;
                return _rolls;
            }
        }
    }

    private void Change(Cohort cohort, int members)
    {
        cohort.Forget();
        _stale = true;
        Volatile.Write(ref _count, _count + members);
    }

    private sealed class Cohort(Lane lane, object codec)
    {
        private Roll? _roll;

        public Dictionary<long, Member> Members { get; } = [];

        public object Codec => codec;

        public Roll Roll => _roll ??= new Roll(lane, codec, [.. Members.Values]);

        public void Forget() => _roll = null;
    }
}

/// <summary>Members as they stood at one moment: of one lane, and of one codec.</summary>
internal sealed record Roll(Lane Lane, object Codec, Member[] Members);
