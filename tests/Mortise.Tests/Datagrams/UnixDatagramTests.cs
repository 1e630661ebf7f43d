using System.Net.Sockets;
using Mortise.Transports.Sockets;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>Unix datagrams: by path and, on Linux, by abstract name.</summary>
public sealed class UnixDatagramTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("mortise").FullName;
    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromSeconds(10)).Token;

    public UnixDatagramTests() => Assert.SkipUnless(OperatingSystem.IsLinux(), "abstract names are Linux's");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task A_path_and_an_abstract_name_bind_and_exchange()
    {
        var path = Path.Combine(_folder, "y");
        var byPath = await ExchangeAsync(Endpoint.Parse($"unixgram:{path}"));
        Assert.False(File.Exists(path), "the socket file outlived its socket");
        var byName = await ExchangeAsync(Endpoint.Parse($"unixgram:@mortise-abc-check-{Environment.ProcessId}"));
        Row.Observed("A06", $"{byPath}; {byName}");
    }

    [Fact]
    public async Task A_datagram_longer_than_the_buffer_says_that_it_was_cut()
    {
        using var server = DatagramSocket.Bind(Endpoint.Parse($"unixgram:{_folder}/cut"));
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        await client.SendAsync(new byte[10], _patience);
        await client.SendAsync(default, _patience);
        var cut = await server.ReceiveAsync(new byte[4], _patience);
        var empty = await server.ReceiveAsync(new byte[4], _patience);
        Assert.Equal((4, true, client.LocalEndpoint), (cut.Length, cut.Truncated, cut.From));
        Assert.Equal((0, false), (empty.Length, empty.Truncated));
    }

    [Fact]
    public async Task A_datagram_larger_than_the_send_buffer_is_refused_with_its_size()
    {
        using var server = DatagramSocket.Bind(Endpoint.Parse($"unixgram:{_folder}/big"));
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        var refused = await Assert.ThrowsAsync<ConnectionException>(
            async () => await client.SendAsync(new byte[16 * 1024 * 1024], _patience));
        Assert.Equal("EMSGSIZE", refused.Symbol);
        Assert.Contains("16777216 bytes, and the send buffer holds", refused.Message);
    }

    [Fact]
    public async Task A_file_that_a_killed_server_left_is_cleared_and_reported()
    {
        var here = Endpoint.Parse($"unixgram:{_folder}/stale");
        using (var killed = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified))
            killed.Bind(new UnixFileEndPoint(here.Host)); // its file stays, as after kill -9
        Assert.True(File.Exists(here.Host));
        using var server = DatagramSocket.Bind(here);
        Assert.Contains("removed the stale socket file", Assert.Single(server.Notes));
        using var client = DatagramSocket.Connect(here);
        await client.SendAsync("here"u8.ToArray(), _patience);
        Assert.Equal(4, (await server.ReceiveAsync(new byte[8], _patience)).Length);
        Assert.Equal("EADDRINUSE", Assert.Throws<BindException>(() => DatagramSocket.Bind(here)).Symbol);
        File.WriteAllText(here.Host + ".txt", "a file");
        Assert.Throws<BindException>(() => DatagramSocket.Bind(Endpoint.Parse($"unixgram:{here.Host}.txt")));
    }

    [Fact]
    public void A_name_that_is_taken_or_that_nobody_has_is_said_so()
    {
        var here = Endpoint.Parse($"unixgram:{_folder}/taken");
        using var first = DatagramSocket.Bind(here);
        Assert.Equal("EADDRINUSE", Assert.Throws<BindException>(() => DatagramSocket.Bind(here)).Symbol);
        var nobody = Endpoint.Parse($"unixgram:{_folder}/nobody");
        var lost = Assert.Throws<ConnectException>(() => DatagramSocket.Connect(nobody));
        Assert.Equal(("ENOENT", nobody.ToString()), (lost.Symbol, lost.Endpoint));
    }

    private async Task<string> ExchangeAsync(Endpoint at)
    {
        using var server = DatagramSocket.Bind(at);
        using var client = DatagramSocket.Connect(at);
        Assert.Equal(at, server.LocalEndpoint);
        await client.SendAsync("ping"u8.ToArray(), _patience);
        var question = await server.ReceiveAsync(new byte[64], _patience);
        Assert.Equal((4, client.LocalEndpoint), (question.Length, question.From));
        await server.SendToAsync("pong!"u8.ToArray(), question.From, _patience);
        var answer = await client.ReceiveAsync(new byte[64], _patience);
        Assert.Equal((5, at), (answer.Length, answer.From));
        return $"{at} bound; ping from {question.From} and its answer went both ways";
    }
}
