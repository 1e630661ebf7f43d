namespace Mortise.Sessions.Groups;

/// <summary>One encoded message on its way to the members of one roll.</summary>
internal class Delivery(Roll roll, byte[] message, long exceptId)
{
    protected const long OverheadBytes = 128;

    /// <summary>What it costs to keep it waiting.</summary>
    public long Cost => message.Length + OverheadBytes;

    /// <summary>Nobody waits for it, so there may be any number of them.</summary>
    public virtual bool MayBeRefused => true;

    /// <summary>Writes to all; where the members live.</summary>
    public virtual BroadcastResult Run()
    {
        var queued = 0;
        var dropped = 0;
        foreach (var member in roll.Members)
        {
            if (member.Id == exceptId)
                continue;
            if (member.Deliver(message, mayWait: false) == Outcome.Queued)
                queued++;
            else
                dropped++;
        }

        return new(queued, dropped);
    }

    /// <summary>What <see cref="Run"/> will say, as far as it can be known elsewhere.</summary>
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
        var dropped = 0;
        foreach (var member in roll.Members)
        {
            if (member.Id == exceptId)
                continue;
            member.Miss();
            dropped++;
        }

        return new(0, dropped);
    }

    /// <summary>A delivery that is waited for, until each member has it or has not.</summary>
    public sealed class Awaited(Roll roll, byte[] message, long exceptId) : Delivery(roll, message, exceptId)
    {
        private readonly Roll _roll = roll;
        private readonly byte[] _message = message;
        private readonly long _exceptId = exceptId;
        private readonly TaskCompletionSource<BroadcastResult> _over =
            new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<BroadcastResult> Over => _over.Task;

        public override bool MayBeRefused => false;

        public override BroadcastResult Run()
        {
            var queued = 0;
            var dropped = 0;
            List<Task<bool>>? waits = null;
            foreach (var member in _roll.Members)
            {
                if (member.Id == _exceptId)
                    continue;
                var outcome = member.Deliver(_message, mayWait: true);
                if (outcome == Outcome.Queued)
                    queued++;
                else if (outcome == Outcome.Dropped)
                    dropped++;
                else
                    (waits ??= []).Add(member.DeliverWaitingAsync(_message));
            }

            if (waits is null)
                _over.SetResult(new(queued, dropped));
            else
                _ = EndAsync(waits, queued, dropped);
            return new(queued, dropped);
        }

        private async Task EndAsync(List<Task<bool>> waits, int queued, int dropped)
        {
            var late = await Task.WhenAll(waits).ConfigureAwait(false);
            var inTime = late.Count(written => written);
            _over.SetResult(new(queued + inTime, dropped + late.Length - inTime));
        }
    }
}
