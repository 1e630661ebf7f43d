using System.IO.Pipelines;
using System.Text;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>The mistakes of the source documents, as bytes, against a real pipe: what the handler sees.</summary>
public sealed class SeedMistakeTests
{
    [Fact]
    public async Task One_receive_is_not_one_message()
    {
        Assert.Equal(["hi"], await Handled("line", "h", "i\n"));
        Assert.Equal(["hi", "hi", "ho"], await Handled("line", "hi\nhi\nho\n"));
        Row.Observed("Z13", "h then i␊ is one message hi; hi␊hi␊ho␊ in one receive is three");
        Row.Observed("N03", "h, i␊ and hi␊hi␊ho␊ go through a Pipe; the handler sees hi, hi, hi, ho: whole ones");
    }

    [Fact]
    public async Task What_follows_a_frame_is_kept_for_the_next_one()
    {
        Assert.Equal(["one", "two", "three"], await Handled("len:1", "\x03one\x03tw", "o\x05th", "ree"));
        Row.Observed("Z40", "3,one,3,tw | o,5,th | ree gives one, two, three: the half behind a whole frame is kept");
    }

    [Fact]
    public void Padded_blocks_of_the_seed_game_are_read_and_written()
    {
        var rule = Framing.Parse("game-seed");
        Assert.Equal(Framing.Parse("fixed:1024,pad=0"), rule);
        var wire = Streams.Written(rule, "hello"u8.ToArray(), "end"u8.ToArray());
        Assert.Equal(2048, wire.Length);
        Assert.Equal("hello"u8, wire.AsSpan(0, 5));
        Assert.Equal(-1, wire.AsSpan(5, 1019).IndexOfAnyExcept((byte)0));
        var received = Streams.Receive(rule, wire, Enumerable.Repeat(700, 3), 100);
        Assert.Equal(["hello", "end"], received.Frames.Select(Encoding.ASCII.GetString));
        var lines = Streams.Receive(Framing.Parse("line"), "Client!\nend\n"u8.ToArray());
        Assert.Equal(["Client!", "end"], lines.Frames.Select(Encoding.ASCII.GetString));
        Row.Observed("L08", "fixed:1024,pad=0 (preset game-seed): hello and end are two blocks of 1024 bytes, padded "
            + "with NUL, and come back without it; line is the framed mode; size and pad byte are options");
    }

    private static async Task<List<string>> Handled(string rule, params string[] writes)
    {
        var pipe = new Pipe();
        var codec = Framing.Parse(rule).Utf8();
        var handled = new List<string>();
        var scan = default(FrameScan);
        foreach (var write in writes)
        {
            await pipe.Writer.WriteAsync(Encoding.ASCII.GetBytes(write));
            var read = await pipe.Reader.ReadAsync();
            var buffer = read.Buffer;
            while (codec.TryRead(ref buffer, ref scan, out var message))
                handled.Add(message);
            pipe.Reader.AdvanceTo(buffer.Start, buffer.End);
        }
        return handled;
    }
}
