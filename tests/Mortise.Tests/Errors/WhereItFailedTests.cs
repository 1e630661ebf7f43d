using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Errors;

/// <summary>
/// Every failure says which operation failed on which endpoint: shown by what is thrown, and by what can be.
/// </summary>
public sealed class WhereItFailedTests
{
    // A mistake in the caller's own call needs no endpoint: the stack shows the call.
    private static readonly string[] OfTheCaller = ["ArgumentException", "ArgumentNullException",
        "ArgumentOutOfRangeException", "ObjectDisposedException", "OperationCanceledException"];

    private static readonly string[] Argued =
    [
        // They become an InvalidSettingException with the file in TlsCertificate, or a ConnectionException in TlsLayer.
        "CryptographicException by CertificateFiles", "CryptographicException by TlsCertificate",
        "EndOfStreamException by TlsWire",
        // A pipe or a buffer used by two owners, a catalogue that does not parse: our own mistakes, no peer's.
        // Or a blocking call on an event loop, which its message explains.
        "InvalidOperationException by BlockPool", "InvalidOperationException by CatalogueReader",
        "InvalidOperationException by Connection", "InvalidOperationException by ConnectionTls",
        "InvalidOperationException by Conversation",
        "InvalidOperationException by DatagramBatch",
        "InvalidOperationException by LoopConnector",
        "InvalidOperationException by LoopReader", "InvalidOperationException by LoopWait",
        "InvalidOperationException by ManagedTransport", "InvalidOperationException by PacketReader",
        "InvalidOperationException by PacketWriter", "InvalidOperationException by Readiness",
        "InvalidOperationException by RequestsById", "InvalidOperationException by Session",
        "InvalidOperationException by SocketClient",
        "InvalidOperationException by TlsWire", "InvalidOperationException by WireReader",
        "NotSupportedException by LoopContext", "NotSupportedException by WireStream",
        // A wire's error becomes a ConnectionException with operation and endpoint in WireConnection.Fail.
        "SocketException by MemoryLane", "SocketException by Readiness", "SocketException by SocketPackets",
        "SocketException by SocketWire",
    ];

    private static readonly Endpoint AnyPort = Endpoint.Parse("tcp://127.0.0.1:0");

    [Fact]
    public void No_room_throws_an_exception_without_a_place_unless_it_is_argued_here() => Assert.Equal(Argued,
        BareExceptions.In(typeof(SocketServer).Assembly.Location).Where(f => !OfTheCaller.Contains(f.Split(' ')[0])));

    [Fact]
    public void A_bare_exception_is_found() => Assert.Contains("InvalidDataException by WhereItFailedTests",
        BareExceptions.In(typeof(WhereItFailedTests).Assembly.Location));

    [Fact]
    public async Task Each_failure_names_its_operation_and_its_endpoint()
    {
        using var listener = SocketServer.Listen(AnyPort);
        var here = listener.Endpoint;
        var (one, two) = await PairAsync(listener);
        var (three, four) = await PairAsync(listener);
        four.Abort();
        await two.SendAsync("too long a line\npart"u8.ToArray());
        await two.DisposeAsync();
        await using var session = new Session<string>(one, Codec.Lines(lineBytesMax: 4));

        var failures = new List<MortiseException>
        {
            Assert.Throws<BindException>(() => SocketServer.Listen(here)),
            Assert.Throws<InvalidSettingException>(() => Endpoint.Parse("tcp://127.0.0.1:65536")),
            Assert.Throws<UnsupportedException>(() => DatagramSocket.Bind(here)),
            await Of<ResolveException>(async () => await SocketClient.ConnectAsync("tcp://nobody.invalid:1")),
            await Of<ConnectionException>(async () => await three.ReceiveAsync(new byte[1])),
            await Of<ConnectionException>(async () => await three.SendAsync(new byte[1])),
            await Of<FrameException>(async () => await session.ReceiveAsync()),
            await Of<FrameException>(async () => await session.SendAsync("two\nlines")),
        };
        var (five, six) = await PairAsync(listener);
        failures.Add(Assert.Throws<TimedOutException>(() => five.Receive(new byte[1], TimeSpan.FromMilliseconds(1))));
        await six.DisposeAsync();
        failures.Add(await Of<FrameException>(async () => await five.ReceiveExactlyAsync(new byte[9])));
        listener.Dispose();
        failures.Add(await Of<ConnectException>(async () => await SocketClient.ConnectAsync(here)));

        Assert.All(failures, f =>
        {
            Assert.False(string.IsNullOrEmpty(f.Operation) || string.IsNullOrEmpty(f.Endpoint), f.Message);
            Assert.StartsWith($"{f.Operation} {f.Endpoint}: ", f.Message);
        });
        Row.Observed("N12", $"{failures.Count} kinds of failure, each with operation and endpoint, e.g. "
            + $"'{failures[6].Message}'; the assembly makes {Argued.Length} bare exceptions, all argued");
        await five.DisposeAsync();
        await three.DisposeAsync();
    }

    private static async Task<(Connection Server, Connection Client)> PairAsync(Listener listener)
    {
        var client = await SocketClient.ConnectAsync(listener.Endpoint);
        return (await listener.AcceptAsync(), client);
    }

    private static async Task<MortiseException> Of<T>(Func<Task> act) where T : MortiseException
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        return await Assert.ThrowsAsync<T>(() => act().WaitAsync(limit.Token));
    }

    /// <summary>Never called: what <see cref="A_bare_exception_is_found"/> finds.</summary>
    internal static Exception Bare(SocketError error) => new InvalidDataException($"{error}");
}
