using System.Buffers;
using FsCheck;
using FsCheck.Fluent;
using Mortise.Testing;
using Mortise.Transports.Proxy;
using Xunit;

namespace Mortise.Tests.Transports.Proxy;

/// <summary>Whatever comes: a header, the wish for more, or one kind of exception; and never a byte too many.</summary>
public sealed class ProxyFuzzTests
{
    private static readonly byte[][] Seeds =
    [
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET /"u8.ToArray(),
        "PROXY TCP6 2001:db8::9 ::1 51000 443\r\n"u8.ToArray(),
        "PROXY UNKNOWN some more\r\n"u8.ToArray(),
        ProxyHeader.Local.ToBytes(),
        ProxyHeader.V2("192.0.2.1:1", "192.0.2.2:2", checksum: true).ToBytes(),
        ProxyHeader.V2("[2001:db8::1]:1", "[::1]:2", checksum: false, new ProxyTlv(2, "host"u8.ToArray()),
            new ProxyTlv(4, new byte[3])).ToBytes(),
        ProxyHeader.V2("unix:/run/a", "unix:@b", checksum: true, new ProxyTlv(0xE0, new byte[100])).ToBytes(),
    ];

    [Fact]
    public void Headers_with_bytes_turned_cut_out_and_put_in_never_break_the_reader()
    {
        var random = new Random(2_026);
        var (read, more, refused) = (0, 0, 0);
        for (var i = 0; i < 60_000; i++)
        {
            var bytes = Mutate(Seeds[random.Next(Seeds.Length)], random);
            switch (Outcome(bytes, 0))
            {
                case > 0: read++; break;
                case 0: more++; break;
                default: refused++; break;
            }
        }

        Assert.True(read > 5_000 && more > 1_000 && refused > 5_000, $"{read} read, {more} more, {refused} refused");
    }

    [Fact]
    public void Bytes_of_any_kind_behind_the_beginning_of_a_header_never_break_the_reader() =>
        Prop.ForAll(ArbMap.Default.ArbFor<(byte[] Wire, byte Seed)>(), input =>
        {
            var start = Seeds[input.Seed % Seeds.Length].AsSpan(0, input.Seed % 15);
            return Outcome([.. start, .. input.Wire ?? []], 0) >= -1;
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void What_is_written_is_read_back()
    {
        var random = new Random(2_027);
        for (var i = 0; i < 5_000; i++)
        {
            var length = random.Next(3) switch { 0 => 4, _ => 16 };
            Endpoint Any()
            {
                var address = new byte[length];
                random.NextBytes(address);
                return Endpoint.From(EndpointKind.Tcp,
                    new System.Net.IPEndPoint(new System.Net.IPAddress(address), random.Next(65536)));
            }

            var (source, destination) = (Any(), Any());
            var tlvs = Enumerable.Range(0, random.Next(4)).Select(_ => new ProxyTlv((byte)random.Next(5, 256),
                new byte[random.Next(200)]));
            var header = random.Next(2) == 0 ? ProxyHeader.V1(source, destination)
                : ProxyHeader.V2(source, destination, random.Next(2) == 0, tlvs);
            var bytes = header.ToBytes();
            var stream = new ReadOnlySequence<byte>([.. bytes, 1, 2, 3]);
            Assert.True(ProxyReader.TryRead(stream, out var back, out var used));
            Assert.Equal((bytes.Length, header.Version, source, destination),
                (used, back.Version, back.Source, back.Destination));
            Assert.Equal(header.Tlvs.Select(t => t.Type), back.Tlvs.Where(t => t.Type != 3).Select(t => t.Type));
        }
    }

    [Fact]
    public void A_header_that_cannot_be_written_is_refused_before_it_is()
    {
        Assert.Throws<InvalidSettingException>(() => ProxyHeader.V1("192.0.2.1:1", "[::1]:2"));
        Assert.Throws<InvalidSettingException>(() => ProxyHeader.V1("unix:/a", "unix:/b"));
        Assert.Throws<InvalidSettingException>(() => ProxyHeader.V1("example.org:1", "192.0.2.1:2"));
        Assert.Throws<InvalidSettingException>(() => ProxyHeader.V2("192.0.2.1:1", "unix:/b"));
        Assert.Throws<InvalidSettingException>(() => ProxyHeader.V2("mem:a", "mem:b"));
        Assert.Throws<InvalidSettingException>(() => ProxyHeader.V2("192.0.2.1:1", "192.0.2.1:2", checksum: false,
            new ProxyTlv(0xE0, new byte[2048])));
    }

    /// <summary>The bytes the header takes, 0 for more, -1 for refused; the same in one piece and in three.</summary>
    private static int Outcome(byte[] bytes, int depth)
    {
        var outcome = Read(new ReadOnlySequence<byte>(bytes));
        Assert.Equal(outcome, Read(SegmentedBytes.Create(bytes, bytes.Length / 3, bytes.Length / 3)));
        Assert.InRange(outcome, -1, bytes.Length);
        // What comes behind it plays no part, and one byte less is not enough.
        if (outcome > 0 && depth == 0)
        {
            Assert.Equal(outcome, Outcome(bytes[..outcome], 1));
            Assert.Equal(0, Outcome(bytes[..(outcome - 1)], 1));
        }

        return outcome;
    }

    private static int Read(in ReadOnlySequence<byte> bytes)
    {
        try
        {
            return ProxyReader.TryRead(bytes, out _, out var length) ? length : 0;
        }
        catch (HandshakeException)
        {
            return -1;
        }
    }

    private static byte[] Mutate(byte[] seed, Random random)
    {
        var bytes = new List<byte>(seed);
        for (var n = random.Next(4); n > 0 && bytes.Count > 0; n--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(4))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes.RemoveAt(at); break;
                case 2: bytes.Insert(at, (byte)random.Next(256)); break;
                default: bytes.RemoveRange(at, bytes.Count - at); break;
            }
        }

        return [.. bytes];
    }
}
