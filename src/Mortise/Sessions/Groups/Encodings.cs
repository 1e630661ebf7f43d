using System.Buffers;
using Mortise.Telemetry;

namespace Mortise.Sessions.Groups;

/// <summary>
/// One message in the codecs of those who get it, encoded once for each. Those of one codec must be asked for one after
/// the other. A codec that throws has nobody above it whom the exception would help: it is logged, and gives null.
/// </summary>
internal struct Encodings<T>
{
    private const int KeptBytesMax = 64 * 1024;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? t_encoder;

    private readonly GroupRegistry _registry;
    private readonly string _group;
    private readonly ReadOnlySequence<byte> _payload;
    private readonly Codec<T>? _wire;
    private readonly byte[]? _wireBytes;
    private T? _message;
    private bool _hasMessage;
    private object? _last;
    private byte[]? _bytes;

    /// <summary>A message of this server, which may have to be known in the backplane's codec too.</summary>
    public Encodings(GroupRegistry registry, string group, T message, Codec<T>? wire)
    {
        (_registry, _group, _message, _hasMessage) = (registry, group, message, true);
        if (wire is not null)
            (_wire, _wireBytes) = (wire, TryEncode(wire));
    }

    /// <summary>A message as it came from another server; it is decoded only for those who speak otherwise.</summary>
    public Encodings(GroupRegistry registry, string group, Codec<T> wire, byte[] wireBytes,
        in ReadOnlySequence<byte> payload) =>
        (_registry, _group, _wire, _wireBytes, _payload) = (registry, group, wire, wireBytes, payload);

    /// <summary>The whole frame, or null where the codec cannot say this.</summary>
    public byte[]? In(object codec)
    {
        if (codec == _wire)
            return _wireBytes;
        if (codec == _last)
            return _bytes;
        if (!_hasMessage)
            (_message, _hasMessage) = (_wire!.Decode(_payload), true);
        (_last, _bytes) = (codec, TryEncode((Codec<T>)codec));
        return _bytes;
    }

    private readonly byte[]? TryEncode(Codec<T> codec)
    {
        var encoder = t_encoder ?? new ArrayBufferWriter<byte>();
        t_encoder = null; // one that is used inside an encoder is another one
        try
        {
            codec.Write(_message!, encoder);
            return encoder.WrittenSpan.ToArray();
        }
        catch (Exception e)
        {
            ServerLog.NotEncoded(_registry.Server.Options.Log, e, _group);
            return null;
        }
        finally
        {
            encoder.ResetWrittenCount();
            if (encoder.Capacity <= KeptBytesMax)
                t_encoder = encoder;
        }
    }
}
