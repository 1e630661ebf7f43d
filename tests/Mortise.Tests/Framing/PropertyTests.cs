using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>What must hold for every rule, every list of payloads and every way to cut their bytes.</summary>
public sealed class PropertyTests
{
    private static readonly Config Cases = Config.QuickThrowOnFailure.WithMaxTest(10_000).WithQuietOnSuccess(true);

    [Fact]
    public void Any_segmentation_of_any_frames_gives_the_same_frames()
    {
        Prop.ForAll(ArbMap.Default.ArbFor<(byte[][] Payloads, int Seed)>(), input =>
        {
            var random = new Random(input.Seed);
            var rule = RandomRule.Make(random);
            var (wire, sent) = Written(rule, (input.Payloads ?? []).Select(p => RandomRule.Fit(rule, p ?? [])));
            var received = Streams.Receive(rule, wire, Streams.RandomReads(random, wire.Length, random.Next(1, 20)),
                random.Next(1, 9));
            return (received.Text == sent).Label($"{rule}: sent {sent}, received {received.Text}");
        }).Check(Cases);
        Row.Observed("N07", "10,000 lists of random payloads, random rules of every kind, random reads and segments: "
            + "the frames received are the frames sent");
    }

    [Fact]
    public void Whatever_was_delivered_can_be_written_and_comes_back()
    {
        Prop.ForAll(ArbMap.Default.ArbFor<(byte[] Wire, int Seed)>(), input =>
        {
            var rule = RandomRule.Make(new Random(input.Seed));
            foreach (var frame in Streams.Receive(rule, input.Wire ?? []).Frames)
            {
                var text = Convert.ToHexString(frame);
                if (Streams.Receive(rule, Streams.Written(rule, frame)).Text != $"{text} then eof")
                    return false.Label($"{rule}: {text}");
            }
            return true.Label("");
        }).Check(Cases);
    }

    [Fact]
    public void A_smaller_maximum_never_accepts_more_and_never_changes_a_frame()
    {
        Prop.ForAll(ArbMap.Default.ArbFor<(byte[] Wire, int Seed)>(), input =>
        {
            var random = new Random(input.Seed);
            var wide = RandomRule.Make(random);
            if (wide.ToString().StartsWith("raw") || wide.ToString().StartsWith("fixed"))
                return true.Label("the maximum is the frame size there");
            Framing narrow;
            try
            {
                narrow = wide.WithMax(Math.Min(random.Next(1, 40), wide.FrameBytesMax));
            }
            catch (InvalidSettingException)
            {
                return true.Label("no frame fits");
            }
            var all = Streams.Receive(wide, input.Wire ?? []).Frames;
            var fewer = Streams.Receive(narrow, input.Wire ?? []).Frames;
            var expected = all.TakeWhile(f => f.Length <= narrow.FrameBytesMax);
            return fewer.Select(Convert.ToHexString).SequenceEqual(expected.Select(Convert.ToHexString))
                .Label($"{wide} and {narrow}");
        }).Check(Cases);
    }

    [Fact]
    public void A_random_rule_reads_back_from_its_own_text()
    {
        for (var seed = 0; seed < 10_000; seed++)
        {
            var rule = RandomRule.Make(new Random(seed));
            Assert.Equal(rule, Framing.Parse(rule.ToString()));
            Assert.Equal(rule.FrameBytesMax, Framing.Parse(rule.ToString()).FrameBytesMax);
        }
    }

    private static (byte[] Wire, string Text) Written(Framing rule, IEnumerable<byte[]> payloads)
    {
        var output = new ArrayBufferWriter<byte>();
        var sent = new List<string>();
        foreach (var payload in payloads)
        {
            try
            {
                rule.Write(payload, output);
            }
            catch (FrameException)
            {
                continue;
            }
            // A length field that the payload holds as zeros is filled in.
            var filled = rule.ToString().StartsWith("len")
                ? Streams.Receive(rule, Streams.Written(rule, payload)).Frames[0]
                : payload;
            Assert.All(payload.Zip(filled), pair => Assert.True(pair.First == pair.Second || pair.First == 0));
            sent.Add(Convert.ToHexString(filled));
        }
        return (output.WrittenSpan.ToArray(), string.Join(' ', sent) + " then eof");
    }
}

/// <summary>Rules of every kind, and payloads that they accept more often than not.</summary>
internal static class RandomRule
{
    public static Framing Make(Random random)
    {
        while (true)
        {
            var text = Text(random);
            if (Framing.TryParse(text, out var rule, out _))
                return rule;
        }
    }

    /// <summary>Bends bytes so that the rule has a chance to accept them.</summary>
    public static byte[] Fit(Framing rule, byte[] bytes)
    {
        var text = rule.ToString();
        if (text.StartsWith("json"))
            return Encoding.ASCII.GetBytes((bytes.Length % 3) switch
            {
                0 => $"{{\"k\":\"{Convert.ToBase64String(bytes)}\\\"]}}\"}}",
                1 => $"[{string.Join(',', bytes)}]",
                _ => $"{bytes.Length}",
            });
        if (text.StartsWith("fixed:") && !text.Contains("pad"))
            return [.. bytes.Concat(new byte[rule.FrameBytesMax]).Take((int)rule.FrameBytesMax)];
        if (text.Contains("keep"))
            return [.. bytes, .. Convert.FromHexString(text.StartsWith("line") ? "0A" : text[6..].Split('|', ',')[0])];
        if (text.StartsWith("varint") && text.Contains("off=1") && bytes.Length < 100)
            return [0x30, (byte)bytes.Length, .. bytes];
        return bytes;
    }

    private static string Text(Random random)
    {
        string Maybe(string option) => random.Next(3) == 0 ? option : "";
        var max = Maybe($",max={random.Next(1, 200)}");
        string[] delimiters = ["0D0A", "00", "7C7C", "454E44", "6161", "616261", "0A", "0D", "FF00FF"];
        return random.Next(8) switch
        {
            0 => "line" + Maybe(":crlf") + Maybe(",keep") + max,
            1 => "delim:" + string.Join('|', random.GetItems(delimiters, random.Next(1, 4)).Distinct())
                + Maybe(",keep") + max,
            2 => $"fixed:{random.Next(1, 40)}" + Maybe($",pad={random.Next(3)}"),
            3 => $"len:{random.Next(1, 9)}" + Maybe("le") + Maybe($",off={random.Next(4)}")
                + Maybe($",adj={random.Next(-9, 4)}") + Maybe(",incl") + Maybe($",strip={random.Next(6)}") + max,
            4 => "varint" + Maybe(",off=1") + Maybe(",strip=0") + max,
            5 => "asn1" + Maybe($",off={random.Next(3)}") + Maybe(",strip=0") + max,
            6 => "netstring" + max,
            _ => "json" + max,
        };
    }
}
