using System.Buffers;
using System.IO.Pipelines;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>Large frames go to the kernel from where they are; what it has no room for waits as a copy.</summary>
public sealed class LargeFrameTests
{
    private static readonly Framing Rule = Framing.Parse("len:4,max=16MiB");

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Whole_and_in_order_among_small_ones_though_the_memory_is_used_again_at_once(EngineKind engine)
    {
        int[] sizes = [9_000_000, 10, 20_000, 3, 8_192, 8_191, 3_000_000, 1, 70_000, 9_000_000, 5];
        await using var server = Served.Start(engine, connection => SendAsync(connection, sizes));
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        var scan = default(FrameScan);
        var sizesSeen = new List<int>();
        while (true)
        {
            var read = await client.Input.ReadAsync().InTime();
            var buffer = read.Buffer;
            while (Rule.TryRead(ref buffer, ref scan, out var payload))
            {
                foreach (var part in payload)
                    Assert.Equal(-1, part.Span.IndexOfAnyExcept((byte)(sizesSeen.Count + 1)));
                sizesSeen.Add((int)payload.Length);
            }

            client.Input.AdvanceTo(buffer.Start, buffer.End);
            if (read.IsCompleted)
                break;
        }

        Assert.Equal(sizes, sizesSeen);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task One_to_a_peer_that_reset_the_connection_fails_as_any_other_send(EngineKind engine)
    {
        var failure = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async connection =>
        {
            failure.SetResult(await Assert.ThrowsAsync<ConnectionException>(async () =>
            {
                for (var payload = new byte[100_000]; ;)
                {
                    Rule.Write(payload, connection.Output);
                    await connection.Output.FlushAsync();
                    await Task.Yield();
                }
            }));
        });
        var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await client.Input.ReadAsync().InTime();
        client.Abort();
        Assert.Contains("send", (await failure.Task.InTime()).Message, StringComparison.Ordinal);
    }

    private static async Task SendAsync(Connection connection, int[] sizes)
    {
        var payload = new byte[sizes.Max()];
        for (var i = 0; i < sizes.Length; i++)
        {
            payload.AsSpan().Fill((byte)(i + 1));
            Rule.Write(payload.AsSpan(0, sizes[i]), connection.Output);
            payload.AsSpan().Clear();
            if (i % 2 == 1)
                await connection.Output.FlushAsync();
        }

        await connection.Output.FlushAsync();
    }
}
