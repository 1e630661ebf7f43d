namespace Mortise;

/// <summary>One received datagram; boundaries are kept, so one send is one receive.</summary>
/// <param name="Length">Bytes in the buffer; 0 is a legal message, not the end of anything.</param>
/// <param name="From">Who sent it.</param>
/// <param name="Local">Which of this host's addresses it came to.</param>
/// <param name="Truncated">The datagram was longer than the buffer and its rest is lost (MSG_TRUNC).</param>
public readonly record struct ReceivedDatagram(int Length, Endpoint From, Endpoint Local, bool Truncated);
