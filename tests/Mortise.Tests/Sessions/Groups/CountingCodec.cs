using System.Buffers;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>Lines, counted.</summary>
internal sealed class CountingCodec() : Codec<string>(Framing.Parse("line"))
{
    private static readonly Codec<string> s_lines = Codec.Lines();
    private int _encoded;
    private int _decoded;

    public int Encoded => Volatile.Read(ref _encoded);

    public int Decoded => Volatile.Read(ref _decoded);

    public override string Decode(in ReadOnlySequence<byte> frame)
    {
        Interlocked.Increment(ref _decoded);
        return s_lines.Decode(frame);
    }

    public override void Encode(string message, IBufferWriter<byte> output)
    {
        Interlocked.Increment(ref _encoded);
        s_lines.Encode(message, output);
    }
}
