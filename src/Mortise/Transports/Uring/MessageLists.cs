using System.Runtime.InteropServices;
using Mortise.Transports.Kernel;

namespace Mortise.Transports.Uring;

/// <summary>
/// Headers and lists of parts of the gathered sends that were not submitted yet, one behind the other in one piece of
/// memory: the kernel has read them when it took the submission, so none has to live as long as its send.
/// </summary>
internal sealed unsafe class MessageLists : IDisposable
{
    private const int PartsMax = 64;
    private const nuint Bytes = 64 * 1024, OneBytesMax = 56 + PartsMax * 16;

    private readonly byte* _memory = (byte*)NativeMemory.AlignedAlloc(Bytes + OneBytesMax, 64);
    private nuint _used;

    /// <summary>Everything that was asked has been taken by the kernel.</summary>
    public void Reset() => _used = 0;

    /// <summary>False: only a send of one part, which needs no list, fits before the next reset.</summary>
    public bool HasRoom => _used < Bytes;

    /// <summary>Where the parts of the next send go.</summary>
    public Span<IoVector> Next => new(_memory + _used + sizeof(MessageHeader), HasRoom ? PartsMax : 1);

    /// <summary>The first of them.</summary>
    public IoVector* First => (IoVector*)(_memory + _used + sizeof(MessageHeader));

    /// <summary>Keeps what was written to <see cref="Next"/>, under a header.</summary>
    public MessageHeader* Keep(int parts)
    {
        var header = (MessageHeader*)(_memory + _used);
        *header = new MessageHeader { Parts = First, PartCount = parts };
        _used += (nuint)(sizeof(MessageHeader) + parts * sizeof(IoVector));
        return header;
    }

    public void Dispose() => NativeMemory.AlignedFree(_memory);
}
