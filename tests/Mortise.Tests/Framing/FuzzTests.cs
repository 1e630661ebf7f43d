using System.Text;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>
/// Bytes that nobody designed. Every input is decoded at once and in random pieces: both must agree, and nothing but
/// the two typed failures may come out. Seeds are fresh in every run; a failure names the one to repeat.
/// </summary>
public sealed class FuzzTests
{
    /// <summary>Counted, not timed: a busy machine tries as many as an idle one.</summary>
    private const int Cases = 5_000;

    private static readonly string[] Rules =
    [
        "raw,max=7", "line,max=50", @"delim:\r\n|\0|'END',max=50", "delim:'abab',keep", "fixed:5", "fixed:6,pad=0",
        "len:1", "len:2le,max=60", "len:4,max=60", "len:8,incl,max=60", "len:3,off=2,adj=-1,strip=1,max=60",
        "varint,max=60", "mqtt,max=60", "asn1,max=300", "asn1,off=1,max=60", "netstring,max=60", "json,max=60",
    ];

    [Fact]
    public async Task Mutated_streams_give_the_same_frames_whole_and_in_pieces()
    {
        var seed = Environment.TickCount;
        await Task.Run(() => Run(seed, MutatedStream)).WaitAsync(TimeSpan.FromMinutes(2));
        Row.Observed("N07", $"{Cases} mutated streams over {Rules.Length} rules, whole and in random pieces: same "
            + $"frames, same end (seed {seed})");
    }

    [Fact]
    public async Task Mutated_rule_texts_are_read_or_refused()
    {
        var seed = Environment.TickCount;
        await Task.Run(() => Run(seed, MutatedRule)).WaitAsync(TimeSpan.FromMinutes(2));
    }

    private static void Run(int seed, Action<Random> one)
    {
        for (var last = seed + Cases; seed < last; seed++)
        {
            try
            {
                one(new Random(seed));
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}: {failure.Message}", failure);
            }
        }
    }

    private static void MutatedStream(Random random)
    {
        var rule = Framing.Parse(Rules[random.Next(Rules.Length)]);
        var stream = new List<byte>();
        for (var i = random.Next(1, 5); i > 0; i--)
        {
            var payload = new byte[random.Next(12)];
            random.NextBytes(payload);
            try
            {
                stream.AddRange(Streams.Written(rule, RandomRule.Fit(rule, payload)));
            }
            catch (FrameException)
            {
                stream.AddRange(payload);
            }
        }
        for (var i = random.Next(4); i > 0; i--)
            Mutate(random, stream);
        byte[] wire = [.. stream];
        var whole = Streams.Receive(rule, wire);
        var reads = Streams.RandomReads(random, wire.Length, random.Next(1, 10));
        var pieces = Streams.Receive(rule, wire, reads, random.Next(1, 5));
        var same = rule.ToString().StartsWith("raw")
            ? whole.Frames.SelectMany(f => f).SequenceEqual(pieces.Frames.SelectMany(f => f))
            : whole.Text == pieces.Text;
        Assert.True(same, $"{rule} on {Convert.ToHexString(wire)}: whole {whole.Text}, in pieces {pieces.Text}");
        if (whole.Failure is { } failure)
            Assert.True(failure.Message.Length is > 20 and < 500, failure.Message);
    }

    private static void Mutate(Random random, List<byte> stream)
    {
        byte[] interesting = [0x00, 0x01, 0x7F, 0x80, 0xFF, (byte)'\r', (byte)'\n', (byte)'"', (byte)'\\', (byte)'}'];
        var at = random.Next(stream.Count + 1);
        switch (random.Next(5))
        {
            case 0 when at < stream.Count:
                stream[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when at < stream.Count:
                stream.RemoveRange(at, random.Next(1, Math.Min(5, stream.Count - at + 1)));
                break;
            case 2:
                stream.Insert(at, interesting[random.Next(interesting.Length)]);
                break;
            case 3:
                stream.InsertRange(at, stream.Take(random.Next(20)).ToArray());
                break;
            case 4:
                stream.InsertRange(at, random.GetItems(interesting, random.Next(12)));
                break;
        }
    }

    private static void MutatedRule(Random random)
    {
        const string Alphabet = "0123456789abcdefx:,|=-'\"\\lenmaxoffstripadjdelimlineéKiB\0\ud800";
        var text = new StringBuilder(random.Next(2) == 0
            ? Rules[random.Next(Rules.Length)]
            : RandomRule.Make(random).ToString());
        for (var i = random.Next(1, 5); i > 0; i--)
        {
            var at = random.Next(text.Length + 1);
            if (random.Next(2) == 0 && at < text.Length)
                text.Remove(at, random.Next(1, Math.Min(4, text.Length - at + 1)));
            else
                text.Insert(at, Alphabet[random.Next(Alphabet.Length)]);
        }
        if (!Framing.TryParse(text.ToString(), out var rule, out var error))
        {
            Assert.True(error.Length > 10, error);
            return;
        }
        Assert.True(rule.Equals(Framing.Parse(rule.ToString())), $"{text} became {rule}");
        Assert.InRange(rule.FrameBytesMax, 1, Array.MaxLength);
    }
}
