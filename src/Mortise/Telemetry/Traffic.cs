using System.Runtime.InteropServices;

namespace Mortise.Telemetry;

/// <summary>
/// Bytes and frames of some connections of a server. The fields keep a distance from other objects, so that two cores
/// that count for different connections do not pass one cache line back and forth.
/// </summary>
[StructLayout(LayoutKind.Explicit)]
internal sealed class Traffic
{
    [FieldOffset(64)] private long bytesReceived;
    [FieldOffset(72)] private long bytesSent;
    [FieldOffset(80)] private long framesReceived;
#pragma warning disable CS0169 // never used: it only makes the object reach past its cache line
    [FieldOffset(144)] private readonly long distance;
#pragma warning restore CS0169

    public long BytesReceived => Volatile.Read(ref bytesReceived);

    public long BytesSent => Volatile.Read(ref bytesSent);

    public long FramesReceived => Volatile.Read(ref framesReceived);

    public void Received(long bytes) => Interlocked.Add(ref bytesReceived, bytes);

    public void Sent(long bytes) => Interlocked.Add(ref bytesSent, bytes);

    public void ReceivedFrames(long frames = 1) => Interlocked.Add(ref framesReceived, frames);
}
