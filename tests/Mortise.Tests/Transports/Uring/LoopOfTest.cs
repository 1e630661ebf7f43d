using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Mortise.Transports.Loops;
using Mortise.Transports.Uring;
using Xunit;

namespace Mortise.Tests.Transports.Uring;

/// <summary>One event loop on io_uring with the numbers a test asks for, and connections whose other end is a plain
/// blocking socket.</summary>
internal sealed class LoopOfTest : IDisposable
{
    /// <summary>Longer than any step takes on a busy machine; a test that reaches it hangs.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    private readonly List<Socket> _peers = [];
    private bool _stopped;

    public LoopOfTest(Func<UringPoller>? poller = null)
    {
        Assert.SkipUnless(UringProbe.Failure is null, $"io_uring: {UringProbe.Failure}");
        Loop = new EventLoop("test", poller ?? (static () => new UringPoller()));
    }

    public EventLoop Loop { get; }

    public (LoopConnection Here, Socket Peer) Connect()
    {
        var pair = new SocketPairOfTest();
        _peers.Add(pair.Peer);
        var fd = pair.HereFd;
        pair.Here.SafeHandle.SetHandleAsInvalid();
        Endpoint local = "tcp://127.0.0.1:1", remote = "tcp://127.0.0.1:2";
        var here = new LoopConnection(Loop, fd, local, remote, new TransportOptions());
        here.Begin();
        return (here, pair.Peer);
    }

    public List<(LoopConnection Here, Socket Peer)> Connect(int count) =>
        [.. Enumerable.Range(0, count).Select(_ => Connect())];

    public Task<T> On<T>(Func<Poller, T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        Loop.Post(_ => done.SetResult(work(Loop.Poller)), null);
        return done.Task.WaitAsync(Limit);
    }

    public Task On(Action<Poller> work) => On(poller =>
    {
        work(poller);
        return 0;
    });

    /// <summary>Everything up to the peer's end.</summary>
    public static async Task<byte[]> ReadAllAsync(Connection connection)
    {
        var all = new ArrayBufferWriter<byte>();
        while (true)
        {
            var read = await connection.Input.ReadAsync().AsTask().WaitAsync(Limit);
            foreach (var part in read.Buffer)
                all.Write(part.Span);
            connection.Input.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return all.WrittenSpan.ToArray();
        }
    }

    public static byte[] ReadExactly(Socket socket, int bytes)
    {
        var all = new byte[bytes];
        for (var at = 0; at < bytes;)
            at += socket.Receive(all.AsSpan(at)) is > 0 and var n ? n : throw new EndOfStreamException();
        return all;
    }

    public static byte[] Random(int bytes, int seed)
    {
        var array = new byte[bytes];
        new Random(seed).NextBytes(array);
        return array;
    }

    /// <summary>As Assert.Equal, but quick for megabytes.</summary>
    public static void AssertSame(byte[] expected, byte[] actual) =>
        Assert.True(expected.AsSpan().SequenceEqual(actual), $"{actual.Length} bytes of {expected.Length}, or others");

    /// <summary>Nobody connects to an address whose listener is gone, in the kernel too.</summary>
    public static void AssertRefused(EndPoint endpoint)
    {
        using var late = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        Assert.Equal(SocketError.ConnectionRefused,
            Assert.Throws<SocketException>(() => late.Connect(endpoint)).SocketErrorCode);
    }

    /// <summary>Waits until the loop holds nothing, and stops it.</summary>
    public async Task EmptyAsync()
    {
        Assert.True(SpinWait.SpinUntil(() => Loop.Connections == 0, Limit), $"{Loop.Connections} connections left");
        Assert.Equal(0, await On(poller => poller.Attached));
        Assert.Equal(0, Loop.Connections);
        Dispose();
    }

    public void Dispose()
    {
        if (!_stopped)
            Loop.Stop();
        _stopped = true;
        _peers.ForEach(p => p.Dispose());
    }
}
