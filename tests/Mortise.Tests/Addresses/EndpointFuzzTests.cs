using System.Net;
using System.Text;
using Xunit;

namespace Mortise.Tests.Addresses;

public sealed class EndpointFuzzTests
{
    private const string Alphabet = "tcpudlsnixgramqe:/@[]*.%-_?#+0123456789abfx \\\0\n\u202e路😀";

    [Fact]
    public void Every_endpoint_reads_back_from_its_own_text()
    {
        var random = new Random(20240719);
        for (var round = 0; round < 20_000; round++)
        {
            var made = Any(random);
            var text = made.ToString();
            var read = Endpoint.Parse(text);
            Assert.Equal(made, read);
            Assert.Equal(text, read.ToString());
            Assert.Equal(made.GetHashCode(), read.GetHashCode());
            Assert.Equal(made.ToSocketEndPoint(), read.ToSocketEndPoint());
        }
        Row.Observed("C04", "20,000 random endpoints (v4, v6, scoped, names, *, paths, abstract, mem) round-trip");
    }

    [Fact]
    public void Garbage_is_refused_and_never_crashes_the_reader()
    {
        var random = new Random(7);
        string[] seeds =
            ["tcp://127.0.0.1:9003", "udp://[fe80::1%lo]:80", "unix:@name", "*:9003", "http://a/b", "mem:x"];
        var accepted = 0;
        for (var round = 0; round < 50_000; round++)
        {
            var text = new StringBuilder(random.Next(3) == 0 ? "" : seeds[random.Next(seeds.Length)]);
            for (var edits = random.Next(1, 6); edits > 0; edits--)
            {
                var at = random.Next(text.Length + 1);
                if (random.Next(3) == 0 && at < text.Length)
                    text.Remove(at, 1);
                else
                    text.Insert(at, Alphabet[random.Next(Alphabet.Length)]);
            }
            if (!Endpoint.TryParse(text.ToString(), out var read, out var error))
            {
                var thrown = Assert.Throws<InvalidSettingException>(() => Endpoint.Parse(text.ToString()));
                Assert.Equal(error, thrown.Message);
                Assert.DoesNotContain(error, c => char.IsControl(c) || c == '\u202e');
                continue;
            }
            accepted++;
            Assert.Equal(read, Endpoint.Parse(read.ToString()));
        }
        Assert.InRange(accepted, 1_000, 49_000);
    }

    [Fact]
    public void A_huge_text_gives_a_short_message()
    {
        Assert.False(Endpoint.TryParse(new string('9', 1_000_000) + ":1", out _, out var error));
        Assert.True(error.Length < 1_000, $"{error.Length} characters");
        Assert.False(Endpoint.TryParse(null, out _, out _));
    }

    private static Endpoint Any(Random random)
    {
        var kind = (EndpointKind)random.Next(7);
        if (kind == EndpointKind.Memory)
            return Endpoint.Parse("mem:room" + random.Next());
        if (kind >= EndpointKind.Unix)
            return Endpoint.Parse($"{(kind == EndpointKind.Unix ? "unix" : kind == EndpointKind.UnixDatagram
                ? "unixgram" : "unixseq")}:{(random.Next(2) == 0 ? "@" : "/")}{Word(random)}");
        var bytes = new byte[random.Next(2) == 0 ? 4 : 16];
        random.NextBytes(bytes);
        for (var i = 0; i < bytes.Length && random.Next(3) != 0; i += 2)
            bytes[random.Next(bytes.Length)] = 0;
        if (bytes.Length == 16 && random.Next(4) == 0)
            bytes.AsSpan(0, random.Next(15)).Clear();
        if (bytes.Length == 16 && random.Next(8) == 0)
            (bytes[10], bytes[11]) = (0xff, 0xff);
        var address = bytes.Length == 16 && random.Next(4) == 0
            ? new IPAddress(bytes, random.Next(1, 100))
            : new IPAddress(bytes);
        var made = Endpoint.From(kind, new IPEndPoint(address, random.Next(65536)));
        return random.Next(5) switch
        {
            0 => made.WithHost("*"),
            1 => made.WithHost($"h{random.Next()}.Example"),
            _ => made,
        };
    }

    private static string Word(Random random)
    {
        var text = new StringBuilder();
        for (var length = random.Next(1, 30); length > 0; length--)
            text.Append((char)random.Next(1, 0xd800));
        return "p" + text.ToString(0, Math.Min(text.Length, 30));
    }
}
