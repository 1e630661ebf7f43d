using System.Diagnostics.CodeAnalysis;

namespace Mortise.Transports.Datagrams;

/// <summary>
/// Bytes as a key, asked for with bytes that are no array. A SocketAddress as key would compare its spare room, too,
/// and need one to ask with.
/// </summary>
internal sealed class ByContent : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
{
    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

    public int GetHashCode([DisallowNull] byte[] name) => GetHashCode(name.AsSpan());

    /// <summary>Seeded for each process, so that nobody can send what falls into one place.</summary>
    public int GetHashCode(ReadOnlySpan<byte> name)
    {
        var hash = default(HashCode);
        hash.AddBytes(name);
        return hash.ToHashCode();
    }

    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
}
