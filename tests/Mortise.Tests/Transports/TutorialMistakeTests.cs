using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Xml.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Mortise.Tests.Conformance;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>Defects of the tutorials' C and C++ code, each tried on the library.</summary>
public sealed class TutorialMistakeTests
{
    [Fact]
    public async Task A_buffer_that_is_filled_to_its_last_byte_is_not_overrun()
    {
        await using var pair = await TcpPair.OpenAsync();
        var array = new byte[2049];
        array[2048] = 0xEE;
        await pair.Peer.SendAsync(Limits.Bytes(2048));
        await pair.Here.ReceiveExactlyAsync(array.AsMemory(0, 2048), Limits.Soon);
        Assert.Equal(Limits.Bytes(2048), array[..2048]);
        Assert.Equal(0xEE, array[2048]);
        Row.Observed("Z20", "2,048 bytes into 2,048 bytes: the byte behind them is untouched, no NUL is appended");
        array.AsSpan(0, 2048).Clear();
        Assert.All(array[..2048], b => Assert.Equal(0, b));
        Assert.Equal(0xEE, array[2048]);
        Row.Observed("Z23", "clearing a span of 2,048 bytes clears 2,048: it knows its length, a pointer's size is 8");
    }

    [Fact]
    public async Task The_end_is_neither_an_empty_message_nor_an_error()
    {
        await using var server = SocketServer.Start(":0", Codec.Lines(), (session, line) => session.SendAsync(line));
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await client.SendAsync("");
        await client.SendAsync("two words");
        await client.Connection.ShutdownSendAsync();
        var lines = new List<string>();
        await foreach (var line in client.Messages.WithCancellation(Limits.Soon))
            lines.Add(line);
        Assert.Equal(["", "two words"], lines);
        Row.Observed("Z21", "an empty line is a message; the server's FIN after it ends the loop and adds none");
    }

    [Fact]
    public async Task A_word_longer_than_the_buffer_is_an_error_and_a_blank_is_a_letter()
    {
        await using var server = SocketServer.Start(":0", Codec.Lines(64), (session, line) => session.SendAsync(line));
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await client.SendAsync("a word and another");
        Assert.Equal("a word and another", await client.ReceiveAsync(Limits.Soon));
        var limited = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines(64));
        await using var _ = limited;
        var error = await Assert.ThrowsAsync<FrameException>(async () => await limited.SendAsync(new string('x', 65)));
        Assert.Equal(CloseReason.FrameTooLong, error.CloseReason);
        Row.Observed("Z04", "blanks stay inside a message; 65 bytes where 64 are allowed: " + error.Message);
    }

    [Fact]
    public async Task Half_messages_of_two_clients_do_not_mix()
    {
        await using var server = SocketServer.Start(":0", Codec.Lines(), (session, line) => session.SendAsync(line));
        await using var a = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await using var b = await SocketClient.ConnectAsync(server.Endpoints[0]);
        var halves = new[] { (a, "left "), (b, "up "), (a, "right\n"), (b, "down\n") };
        foreach (var (client, half) in halves)
            await client.SendAsync(System.Text.Encoding.ASCII.GetBytes(half));
        var (fromA, fromB) = (new byte[11], new byte[8]);
        await a.ReceiveExactlyAsync(fromA, Limits.Soon);
        await b.ReceiveExactlyAsync(fromB, Limits.Soon);
        Assert.Equal("left right\n"u8, fromA);
        Assert.Equal("up down\n"u8, fromB);
        Assert.Equal(2, server.Connections.Select(c => c.Id).Distinct().Count());
        Row.Observed("Z11", "two clients' halves interleaved: each gets its own line; state is per connection");
    }

    [Fact]
    public async Task The_accepted_peer_has_the_whole_address_of_the_client()
    {
        await using var pair = await TcpPair.OpenAsync();
        Assert.Equal(pair.Peer.LocalEndpoint, pair.Here.RemoteEndpoint);
        Assert.Equal(IPAddress.Loopback, pair.Here.RemoteEndpoint.Address);
        Row.Observed("Z27", $"accept gives a typed endpoint, {pair.Here.RemoteEndpoint}: the client's own");
    }

    [Fact]
    public async Task A_sent_buffer_may_be_used_again_at_once()
    {
        await using var pair = await TcpPair.OpenAsync();
        var sender = new Session<ReadOnlyMemory<byte>>(pair.Peer, Codec.LengthPrefixed());
        var buffer = new byte[1000];
        for (byte i = 0; i < 100; i++)
        {
            buffer.AsSpan().Fill(i);
            Assert.True(sender.TrySend(buffer));
        }

        buffer.AsSpan().Fill(0xFF);
        var reader = new Session<ReadOnlyMemory<byte>>(pair.Here, Codec.LengthPrefixed());
        for (byte i = 0; i < 100; i++)
            Assert.All((await reader.ReceiveAsync(Limits.Soon)).ToArray(), b => Assert.Equal(i, b));
        Row.Observed("Z41", "one buffer for 100 queued messages, overwritten after each: all 100 arrive as they were");
    }

    [Fact]
    public void A_function_without_a_result_does_not_compile_and_a_warning_is_an_error()
    {
        var faults = CSharpCompilation.Create("x",
                [CSharpSyntaxTree.ParseText("class C { int Init() { } }")],
                [MetadataReference.CreateFromFile(typeof(object).Assembly.Location)],
                new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary))
            .GetDiagnostics();
        Assert.Contains(faults, f => f is { Id: "CS0161", Severity: DiagnosticSeverity.Error });
        var properties = XDocument.Load(Path.Combine(Repository.Root, "Directory.Build.props"));
        Assert.Equal("true", properties.Descendants("TreatWarningsAsErrors").Single().Value);
        Row.Observed("Z35", "CS0161 is an error of the language; TreatWarningsAsErrors holds for every project");
    }

    [Fact]
    public void A_number_on_the_wire_has_an_order_that_is_named()
    {
        var big = new ArrayBufferWriter<byte>();
        Codec.LengthPrefixed().Write("abc"u8.ToArray(), big);
        Assert.Equal<byte>([0, 0, 0, 3, .. "abc"u8], big.WrittenSpan.ToArray());
        var little = new ArrayBufferWriter<byte>();
        Codec.LengthPrefixed(littleEndian: true).Write("abc"u8.ToArray(), little);
        Assert.Equal<byte>([3, 0, 0, 0, .. "abc"u8], little.WrittenSpan.ToArray());
        Assert.Equal(Framing.Parse("len:4be"), Framing.Parse("len:4"));
        Assert.NotEqual(Framing.Parse("len:4le"), Framing.Parse("len:4"));
        Assert.Equal(0x12345678u, ByteOrder.NetToHost(BitConverter.ToUInt32([0x12, 0x34, 0x56, 0x78])));
        Row.Observed("B04", "len:4 is len:4be, 00 00 00 03; len:4le is 03 00 00 00; 12 34 56 78 reads 0x12345678");
    }

    [Fact]
    public async Task An_IPv4_address_on_an_IPv6_socket_is_mapped_or_refused_by_its_family()
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "no IPv6 here");
        using var dual = DatagramSocket.Bind("udp://*:0");
        using var v4 = DatagramSocket.Bind("udp://127.0.0.1:0");
        await dual.SendToAsync("hi"u8.ToArray(), v4.LocalEndpoint, Limits.Soon);
        var got = await v4.ReceiveAsync(new byte[8], Limits.Soon);
        Assert.Equal((2, IPAddress.Loopback), (got.Length, got.From.Address));

        using var v6 = DatagramSocket.Bind("udp://[::1]:0");
        foreach (var (from, to) in new[] { (v6, v4), (v4, v6) })
        {
            var refused = await Assert.ThrowsAsync<ConnectionException>(async () =>
                await from.SendToAsync("hi"u8.ToArray(), to.LocalEndpoint, Limits.Soon));
            Assert.Equal(("EAFNOSUPPORT", 97), (refused.Symbol, refused.Errno));
            Assert.Contains(from.LocalEndpoint.ToString(), refused.Message, StringComparison.Ordinal);
            Row.Observed("C09", refused.Message);
        }

        Row.Observed("C09", $"udp://* sends to {v4.LocalEndpoint}: mapped by itself, it arrives from 127.0.0.1");
    }
}
