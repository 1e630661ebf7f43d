using System.Globalization;

namespace Mortise.Sessions.Rates;

/// <summary>What a session, or all sessions of an address together, may still send.</summary>
internal sealed class Allowance(RateLimit limit, TimeProvider time, bool isShared)
{
    public Bucket? Messages { get; } = limit.MessagesPerSecond is { } messages ? new(messages, time) : null;

    public Bucket? Bytes { get; } = limit.BytesPerSecond is { } bytes ? new(bytes, time) : null;

    public bool Disconnects => limit.Disconnects;

    /// <summary>Sessions that share it. Its address's book counts them, under this lock.</summary>
    public int Users { get; set; }

    /// <summary>The book has forgotten it: who comes makes another.</summary>
    public bool IsForgotten { get; set; }

    /// <summary>A new one would be no different.</summary>
    public bool IsFull => Messages?.IsFull != false && Bytes?.IsFull != false;

    /// <summary>For the log: <c>10 messages/s for a session</c>.</summary>
    public string Told(bool messages)
    {
        var rate = (messages ? limit.MessagesPerSecond : limit.BytesPerSecond) ?? 0;
        return string.Create(CultureInfo.InvariantCulture,
            $"{rate:0.###} {(messages ? "messages" : "bytes")}/s for {(isShared ? "an address" : "a session")}");
    }
}
