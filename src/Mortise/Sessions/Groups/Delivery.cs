namespace Mortise.Sessions.Groups;

/// <summary>One encoded message on its way to the members of one roll.</summary>
internal class Delivery(Roll roll, byte[] message, long exceptId)
{
    private const long OverheadBytes = 128;

    private int _queued;
    private int _dropped;

    public Roll Roll => roll;

    /// <summary>What it costs to keep it waiting.</summary>
    public long Cost => message.Length + OverheadBytes;

    /// <summary>What has become of it so far.</summary>
    public BroadcastResult Result => new(_queued, _dropped);

    /// <summary>Nobody waits for it, so there may be any number of them.</summary>
    public virtual bool MayBeRefused => true;

    /// <summary>Writes to one of the roll; where the members live.</summary>
    public void To(Member member)
    {
        if (member.Id != exceptId)
            Count(Write(member, message));
    }

    /// <summary>All of the roll had their turn.</summary>
    public virtual void End()
    {
    }

    /// <summary>What will become of it, as far as it can be known elsewhere.</summary>
    public BroadcastResult Expected()
    {
        var dropped = 0;
        var left = roll.Members.Length;
        foreach (var member in roll.Members)
        {
            if (member.Id == exceptId)
                left--;
            else if (member.IsDropping)
                dropped++;
        }

        return new(left - dropped, dropped);
    }

    /// <summary>The loop has too much before it.</summary>
    public BroadcastResult Refuse()
    {
        foreach (var member in roll.Members)
        {
            if (member.Id == exceptId)
                continue;
            member.Miss();
            _dropped++;
        }

        return Result;
    }

    protected virtual Outcome Write(Member member, byte[] message) => member.Deliver(message, mayWait: false);

    private void Count(Outcome outcome)
    {
        if (outcome == Outcome.Queued)
            _queued++;
        else if (outcome == Outcome.Dropped)
            _dropped++;
    }

    /// <summary>A delivery that is waited for, until each member has it or has not.</summary>
    public sealed class Awaited(Roll roll, byte[] message, long exceptId) : Delivery(roll, message, exceptId)
    {
        private readonly TaskCompletionSource<BroadcastResult> _over =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
        private List<Task<bool>>? _waits;

        public Task<BroadcastResult> Over => _over.Task;

        public override bool MayBeRefused => false;

        public override void End()
        {
            if (_waits is null)
                _over.SetResult(Result);
            else
                _ = EndAsync(_waits);
        }

        protected override Outcome Write(Member member, byte[] message)
        {
            var outcome = member.Deliver(message, mayWait: true);
            if (outcome == Outcome.Full)
                (_waits ??= []).Add(member.DeliverWaitingAsync(message));
            return outcome;
        }

        private async Task EndAsync(List<Task<bool>> waits)
        {
            var late = await Task.WhenAll(waits).ConfigureAwait(false);
            var inTime = late.Count(written => written);
            _over.SetResult(Result.And(new(inTime, late.Length - inTime)));
        }
    }
}
