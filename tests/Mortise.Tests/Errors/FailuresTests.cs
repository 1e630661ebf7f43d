using System.Net;
using System.Net.Sockets;
using Mortise.Errors;
using Xunit;

namespace Mortise.Tests.Errors;

/// <summary>Real failures of real sockets become the right entry and the right exception.</summary>
public sealed class FailuresTests
{
    private static Socket Tcp() => new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    private static void Is(string symbol, int errno, Action act)
    {
        var entry = ErrorCatalogue.From(Assert.Throws<SocketException>(act));
        Assert.Equal((symbol, errno), (entry.Symbol, entry.Errno));
    }

    [Fact]
    public void A_refused_connect_says_that_no_process_is_listening()
    {
        using var socket = Tcp();
        var cause = Assert.Throws<SocketException>(() => socket.Connect(IPAddress.Loopback, 1));
        var failure = Failures.Connect(cause, "tcp://127.0.0.1:1");
        Assert.Equal(("connect", "tcp://127.0.0.1:1", "ECONNREFUSED", 111),
            (failure.Operation, failure.Endpoint, failure.Symbol, failure.Errno));
        Assert.Contains("no process is listening (RST)", failure.Message);
        var onFile = Failures.Connect(cause, "unix:/run/a.sock");
        Assert.Equal(("ECONNREFUSED", 111), (onFile.Symbol, onFile.Errno));
        Assert.DoesNotContain("RST", onFile.Reason);
        Assert.Contains("ss -lx", onFile.Hint);
        var datagram = Failures.Transfer("recv", "udp://127.0.0.1:1", cause);
        Assert.Contains("ICMP port unreachable", datagram.Reason);
        Assert.Contains("ss -lunp", datagram.Hint);
        Assert.Contains("ss -ltnp", failure.Hint);
        Assert.Same(cause, failure.InnerException);
        Assert.Equal("ECONNREFUSED", ErrorCatalogue.From(new AggregateException(new IOException("", cause))).Symbol);
        Row.Observed("A15", failure.Message);
    }

    [Fact]
    public void A_second_bind_names_the_holder()
    {
        using var first = Tcp();
        first.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        first.Listen();
        using var second = Tcp();
        var cause = Assert.Throws<SocketException>(() => second.Bind(first.LocalEndPoint!));
        var failure = Failures.Bind(cause, $"tcp://{first.LocalEndPoint}", "held by pid 4242 (dotnet)");
        Assert.Equal(("EADDRINUSE", 98), (failure.Symbol, failure.Errno));
        Assert.Contains("the address is already in use: held by pid 4242 (dotnet) (EADDRINUSE 98); ", failure.Message);
    }

    [Fact]
    public void A_peer_that_resets_ends_the_connection_with_reset()
    {
        using var listener = Tcp();
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var client = Tcp();
        client.Connect(listener.LocalEndPoint!);
        var peer = listener.Accept();
        peer.LingerState = new LingerOption(true, 0);
        peer.Close();
        client.ReceiveTimeout = 10_000;
        var cause = Assert.Throws<SocketException>(() => client.Receive(new byte[1]));
        var failure = Failures.Transfer("recv", "tcp://127.0.0.1:1", cause);
        Assert.Equal(("ECONNRESET", 104, CloseReason.Reset), (failure.Symbol, failure.Errno, failure.CloseReason));
        var broken = Failures.Transfer("send", "tcp://127.0.0.1:1",
            Assert.Throws<SocketException>(() => client.Send(new byte[1])));
        Assert.Equal(CloseReason.Reset, broken.CloseReason);
        if (OperatingSystem.IsLinux())
            Assert.Equal(("EPIPE", 32), (broken.Symbol, broken.Errno));
        Row.Observed("N14", $"{failure.Symbol} and {broken.Symbol} by name: {failure.Message} / {broken.Message}");
    }

    [Fact]
    public void A_Unix_path_that_does_not_exist_is_ENOENT_not_an_address_that_is_not_available()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the runtime's detour over EADDRNOTAVAIL is that of Unix");
        var path = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var cause = Assert.Throws<SocketException>(() => socket.Connect(new UnixDomainSocketEndPoint(path)));
        var failure = Failures.Connect(cause, $"unix:{path}");
        Assert.Equal(("ENOENT", 2), (failure.Symbol, failure.Errno));
        Assert.Equal("EADDRNOTAVAIL", Failures.Connect(cause, "tcp://10.0.0.1:9").Symbol);
    }

    [Fact]
    public void Wrong_types_and_sizes_have_their_own_names()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "errno values are those of Linux");
        Is("EPROTONOSUPPORT", 93, () => _ = new Socket(AddressFamily.InterNetwork, SocketType.Stream,
            ProtocolType.Udp));
        Is("ESOCKTNOSUPPORT", 94, () => _ = new Socket(AddressFamily.InterNetwork, SocketType.Rdm,
            ProtocolType.Unspecified));
        using var udp = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        Is("EMSGSIZE", 90, () => udp.SendTo(new byte[65_508], new IPEndPoint(IPAddress.Loopback, 9)));
        using var foreign = Tcp();
        Is("EADDRNOTAVAIL", 99, () => foreign.Bind(new IPEndPoint(IPAddress.Parse("203.0.113.1"), 0)));
        using var lonely = Tcp();
        Is("ENOTCONN", 107, () => lonely.Shutdown(SocketShutdown.Both));
        Is("EACCES", 13, () => udp.SendTo(new byte[1], new IPEndPoint(IPAddress.Broadcast, 9)));
    }

    [Theory]
    [InlineData(104, "reset")]
    [InlineData(32, "reset")]
    [InlineData(103, "reset")]
    [InlineData(110, "peer_dead")]
    [InlineData(-113, "peer_dead")]
    [InlineData(125, "local")]
    [InlineData(9, "local")]
    public void An_errno_of_our_own_system_calls_tells_why_the_connection_ended(int errno, string reason) =>
        Assert.Equal(reason, Failures.Transfer("recv", null, errno).CloseReason.Name());

    [Fact]
    public void Routes_that_forbid_are_named_too()
    {
        // The system calls themselves run in a namespace of the command line's tests; here the mapping.
        Assert.Equal("EACCES", Failures.Connect(13, "tcp://10.9.9.9:1").Symbol);
        Assert.StartsWith("look for a prohibit route", Failures.Connect(13, "tcp://10.9.9.9:1").Hint);
        Assert.Equal("EINVAL", Failures.Connect(22, "tcp://10.9.9.9:1").Symbol);
        Assert.Equal("EHOSTUNREACH", Failures.Connect(113, "tcp://10.9.9.9:1").Symbol);
        Assert.Equal("ENETUNREACH", Failures.Connect(101, "tcp://10.9.9.9:1").Symbol);
    }

    [Fact]
    public void The_hint_fits_the_operation()
    {
        Assert.Contains("setcap", Failures.Bind(13, "tcp://127.0.0.1:80").Hint);
        Assert.Contains("SO_BROADCAST", Failures.Transfer("send", "udp://255.255.255.255:9", 13).Hint);
        Assert.Contains("namei", Failures.Transfer("recv", null, 13).Hint);
    }

    [Fact]
    public void An_exception_without_a_hint_of_its_own_takes_the_one_of_the_catalogue()
    {
        MortiseException[] failures =
        [
            new FrameException(CloseReason.FrameTooLong, "x"),
            new TimedOutException("connect", "tcp://10.9.9.9:1", "x"),
            new UnsupportedException("listen", "unixseq:/x", "x"),
        ];
        Assert.All(failures, failure => Assert.EndsWith("; " + failure.Hint, failure.Message));
        // The catalogue's EINVAL is of calls to the kernel, a setting's is not.
        Assert.Null(new InvalidSettingException("parse", "tcp//", "x").Hint);
        Assert.Equal("own", new InvalidSettingException("parse", "tcp//", "x", "own").Hint);
        Assert.Null(new MortiseException("x", null, "EWHATEVER", "x").Hint);
    }

    [Fact]
    public void Use_after_the_end_says_why_the_connection_ended()
    {
        var failure = Failures.Closed("send", "tcp://127.0.0.1:9", CloseReason.SlowReader, "1 MiB were queued");
        Assert.Equal(("slow_reader", CloseReason.SlowReader), (failure.Symbol, failure.CloseReason));
        Assert.StartsWith("send tcp://127.0.0.1:9: more bytes were queued for the peer than its queue may hold: "
            + "1 MiB were queued (slow_reader); ", failure.Message);
        Assert.Equal("slow_reader", ErrorCatalogue.From(new IOException("outer", failure)).Symbol);
    }

    [Fact]
    public void A_name_that_does_not_exist_is_HOST_NOT_FOUND()
    {
        var failure = Failures.Resolve(new SocketException((int)SocketError.HostNotFound), "nope.invalid");
        Assert.Equal(("resolve", "nope.invalid", "HOST_NOT_FOUND"),
            (failure.Operation, failure.Endpoint, failure.Symbol));
        Assert.Contains("getent ahosts", failure.Hint);
    }
}
