using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>
/// Bytes and the end behind them that come together, before the loop has looked for the first time or while it was
/// busy. It has to see both: nothing else will ever come from this peer.
/// </summary>
public sealed class CoalescedEndTests
{
    public static TheoryData<EngineKind, bool, bool, bool> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, bool, bool, bool>();
            foreach (var engine in Engines.WithLoops.Select(row => row.Data))
            {
                foreach (var early in (bool[])[false, true])
                {
                    cases.Add(engine, true, false, early);
                    cases.Add(engine, false, false, early);
                    cases.Add(engine, false, true, early);
                }
            }

            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task An_end_that_comes_with_bytes_is_seen_with_them(EngineKind engine, bool unix, bool reset,
        bool early)
    {
        Endpoint place = unix ? $"unix:@mortise-{Guid.NewGuid():N}" : "tcp://127.0.0.1:0";
        var options = new TransportOptions();
        options.Set(engine);
        using var listener = SocketServer.Listen(place, options);
        for (var i = 0; i < 5; i++)
        {
            using var peer = new Socket(unix ? AddressFamily.Unix : AddressFamily.InterNetwork, SocketType.Stream,
                unix ? ProtocolType.Unspecified : ProtocolType.Tcp);
            peer.Connect(listener.Endpoint.ToSocketEndPoint()!);
            LoopConnection here;
            if (early)
            {
                SendAndEnd(peer, reset);
                here = (LoopConnection)await listener.AcceptAsync(Limits.Soon);
            }
            else
            {
                here = (LoopConnection)await listener.AcceptAsync(Limits.Soon);
                peer.Send(new byte[1]);
                await here.ReceiveExactlyAsync(new byte[1], Limits.Soon); // it is being received for
                using var busy = new ManualResetEventSlim();
                using var go = new ManualResetEventSlim();
                here.Loop.Post(_ => Busy(busy, go), null);
                Assert.True(busy.Wait(Limits.Time));
                SendAndEnd(peer, reset);
                go.Set();
            }

            if (reset)
            {
                await Assert.ThrowsAsync<ConnectionException>(() => Limits.ReadToEndAsync(here));
                Assert.Equal(CloseReason.Reset, here.CloseReason);
            }
            else
            {
                Assert.Equal(3, (await Limits.ReadToEndAsync(here)).Length);
            }

            here.Abort();
        }
    }

    private static void Busy(ManualResetEventSlim busy, ManualResetEventSlim go)
    {
        busy.Set();
        go.Wait(Limits.Time);
    }

    private static void SendAndEnd(Socket peer, bool reset)
    {
        peer.Send(new byte[3]);
        if (!reset)
        {
            peer.Shutdown(SocketShutdown.Send);
            return;
        }

        peer.LingerState = new LingerOption(true, 0);
        peer.Dispose();
    }
}
