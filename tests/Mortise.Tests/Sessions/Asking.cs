using System.Buffers;
using System.Buffers.Binary;
using Mortise.Tests.Conformance;

namespace Mortise.Tests.Sessions;

/// <summary>A message of a wire format of one's own: id, kind, value.</summary>
internal readonly record struct Call(long Id, byte Kind, long Value)
{
    public const byte Request = 0, Reply = 1, Nested = 2;

    public static readonly Codec<Call> Codec = Mortise.Codec.Create(Framing.Parse("len:2be"), Read, Write);

    public Call Answer(long value) => this with { Kind = Reply, Value = value };

    private static Call Read(ReadOnlySequence<byte> frame)
    {
        Span<byte> bytes = stackalloc byte[17];
        frame.CopyTo(bytes);
        return new(BinaryPrimitives.ReadInt64BigEndian(bytes), bytes[8],
            BinaryPrimitives.ReadInt64BigEndian(bytes[9..]));
    }

    private static void Write(Call call, IBufferWriter<byte> output)
    {
        var bytes = output.GetSpan(17);
        BinaryPrimitives.WriteInt64BigEndian(bytes, call.Id);
        bytes[8] = call.Kind;
        BinaryPrimitives.WriteInt64BigEndian(bytes[9..], call.Value);
        output.Advance(17);
    }
}

/// <summary>A server and one client whose sessions ask, over one way to carry bytes.</summary>
internal sealed class Asking<T> : IAsyncDisposable
{
    private readonly TaskCompletionSource<Session<T>> _served = new();
    private readonly MemoryNetwork _network = new();

    private SocketServer Server { get; set; } = null!;

    public Session<T> Client { get; private set; } = null!;

    /// <summary>The server's session of that client, once its handler was called.</summary>
    public Task<Session<T>> Served => _served.Task.InTime();

    public static async Task<Asking<T>> ConnectAsync(string way, Codec<T> codec, SessionOptions<T> options,
        Func<Session<T>, T, ValueTask> handler, Action<ServerOptions>? configure = null,
        SessionOptions<T>? clientOptions = null, TimeProvider? time = null)
    {
        var asking = new Asking<T>();
        void Tune(TransportOptions transport)
        {
            transport.Memory = asking._network;
            transport.Engine = Ways.EngineOf(way);
            if (time is not null)
                transport.Time = time;
        }

        asking.Server = SocketServer.Start(way == Rig.Memory ? "mem:asking" : "tcp://127.0.0.1:0", codec, options,
            (session, message) =>
            {
                asking._served.TrySetResult(session);
                return handler(session, message);
            }, o =>
            {
                Tune(o.Transport);
                configure?.Invoke(o);
            });
        asking.Client = await SocketClient.ConnectAsync(asking.Server.Endpoints[0], codec, clientOptions ?? options,
            o => Tune(o.Transport));
        return asking;
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        await Server.DisposeAsync();
    }
}

internal static class Ways
{
    public static EngineKind EngineOf(string way) =>
        Enum.TryParse<EngineKind>(way, ignoreCase: true, out var engine) ? engine : EngineKind.Auto;
}
