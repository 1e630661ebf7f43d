using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>A server's timeouts are about what its handler gets: encryption hides no slow peer.</summary>
[Collection("alone")]
public sealed class TlsLimitTests
{
    private readonly ManualTime _time = new();

    /// <summary>Every engine, encrypted and in the clear: the same end at the same time.</summary>
    public static TheoryData<EngineKind, string> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, string>();
            foreach (var engine in TlsClientTests.Kinds.Select(row => row.Data))
            {
                cases.Add(engine, "tcp");
                cases.Add(engine, "tls");
            }

            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_frame_that_drips_is_too_slow_under_TLS_as_in_the_clear(EngineKind engine, string scheme)
    {
        await using var server = SocketServer.Start<ReadOnlyMemory<byte>>($"{scheme}://127.0.0.1:0",
            Codec.LengthPrefixed(), (s, m) => s.SendAsync(m), o => Configure(o, engine));
        var client = await ConnectAsync(server, scheme);
        await client.SendAsync(new byte[] { 0, 0, 0, 99 });
        var seconds = 0;
        for (; seconds < 40 && !IsOver(); seconds++) // each byte a record
        {
            await Limits.UntilAsync(() => IsOver() || server.Connections is [{ FrameBegunAt: >= 0 } c]
                && c.InputBytesReceived == 4 + seconds, "not received");
            await AdvanceAsync(1);
            await Record.ExceptionAsync(() => client.SendAsync(new byte[1]).AsTask());
        }

        Assert.InRange(seconds, 15, 30);
        client.Abort();

        bool IsOver() => server.Statistics.Closed(CloseReason.ReceiveTooSlow) == 1;
    }

    private void Configure(ServerOptions options, EngineKind engine)
    {
        options.Transport.Set(engine);
        options.Transport.Time = _time;
        options.FrameTimeout = TimeSpan.FromSeconds(15);
        options.FrameBytesPerSecondMin = 0;
        options.Tls.Certificate = Authority.Localhost;
    }

    private static ValueTask<Connection> ConnectAsync(SocketServer server, string scheme) =>
        SocketClient.ConnectAsync($"{scheme}://localhost:{server.Endpoints[0].Port}",
            o => o.Tls.Authorities.Add(Authority.Shared.Root), Limits.Soon);

    /// <summary>Half a second at a time, as the server's watch looks.</summary>
    private async Task AdvanceAsync(double seconds)
    {
        for (var moved = 0.0; moved < seconds; moved += 0.5)
        {
            _time.Advance(TimeSpan.FromSeconds(0.5));
            await Task.Yield();
        }
    }
}
