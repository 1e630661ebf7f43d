using System.Diagnostics;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>
/// One way to carry bytes, and a connected pair over it. Every test of this folder runs on every rig. When a rig is
/// left all buffers must be back in the pool: a leak fails the test that made it.
/// </summary>
public sealed class Rig : IAsyncDisposable
{
    public const string Memory = "memory", Tcp4 = "tcp v4", Tcp6 = "tcp v6", Unix = "unix", Tls = "tls";

    private static readonly (string Name, EngineKind Kind)[] Engines =
        [("managed", EngineKind.Managed), ("epoll", EngineKind.Epoll), ("io_uring", EngineKind.IoUring)];

    private readonly Listener _listener;
    private readonly List<Connection> _made = [];
    private readonly long _buffersBefore = BlockPool.Shared.Outstanding;

    private Rig(string name, Action<TransportOptions>? tune)
    {
        Name = name;
        var endpoint = IsMemory ? "mem:conformance"
            : IsUnix ? $"unix:{Path.GetTempPath()}/mortise-{Guid.NewGuid():N}.sock"
            : name.EndsWith(Tcp6, StringComparison.Ordinal) ? "tcp://[::1]:0" : "tcp://127.0.0.1:0";
        Options.Memory = Network;
        Options.Engine = Engines.FirstOrDefault(e => name.Contains(e.Name, StringComparison.Ordinal)).Kind;
        tune?.Invoke(Options);
        _listener = SocketServer.Listen(Endpoint.Parse(endpoint), Options);
    }

    public static TheoryData<string> All { get; } =
        [Memory, .. OnEveryEngine(Tcp4, Tcp6, Unix), $"{Tls} {Memory}", .. OnEveryEngine($"{Tls} {Tcp4}")];

    public static TheoryData<string> Kernel { get; } = [.. OnEveryEngine(Tcp4, Tcp6, Unix)];

    public static TheoryData<string> Tcp { get; } = [.. OnEveryEngine(Tcp4, Tcp6)];

    public string Name { get; }

    public bool IsMemory => Name.EndsWith(Memory, StringComparison.Ordinal);

    /// <summary>Encrypted: what arrives is what was sent, but the kernel sees other bytes.</summary>
    public bool IsTls => Name.Contains(Tls, StringComparison.Ordinal);

    public bool IsUnix => Name.EndsWith(Unix, StringComparison.Ordinal);

    public bool IsTcp => !IsMemory && !IsUnix;

    public TransportOptions Options { get; } = new();

    public MemoryNetwork Network { get; } = new();

    public Endpoint Endpoint => _listener.Endpoint;

    public Listener Listener => _listener;

    public Connection Client { get; private set; } = null!;

    public Connection Server { get; private set; } = null!;

    /// <summary>Buffers that this test holds now; the tests of this folder do not run side by side.</summary>
    public long BuffersHeld => BlockPool.Shared.Outstanding - _buffersBefore;

    private static IEnumerable<string> OnEveryEngine(params string[] families) =>
        Engines.SelectMany(e => families.Select(f => $"{e.Name} {f}"));

    public static async Task<Rig> ConnectAsync(string name, Action<TransportOptions>? tune = null)
    {
        var rig = new Rig(name, tune);
        (rig.Client, rig.Server) = await rig.PairAsync();
        return rig;
    }

    public async Task<(Connection Client, Connection Server)> PairAsync()
    {
        var accepting = _listener.AcceptAsync(Limits.Soon);
        var client = await SocketClient.ConnectAsync(Endpoint, o =>
        {
            o.Transport.Memory = Network;
            o.Transport.Engine = Options.Engine;
            o.Transport.UrgentData = Options.UrgentData;
            o.Transport.SendBufferBytes = Options.SendBufferBytes;
            o.Transport.ReceiveBufferBytes = Options.ReceiveBufferBytes;
        }, Limits.Soon);
        var server = await accepting;
        if (IsTls)
            await EncryptAsync(client, server);
        _made.Add(client);
        _made.Add(server);
        return (client, server);
    }

    private static async Task EncryptAsync(Connection client, Connection server)
    {
        var trusting = new TlsClientOptions();
        trusting.Authorities.Add(Tests.Tls.Authority.Shared.Root);
        var options = new TlsServerOptions { Certificate = Tests.Tls.Authority.Localhost };
        var serving = server.StartTlsAsync(options, Limits.Soon).AsTask();
        await client.StartTlsAsync("localhost", trusting, Limits.Soon);
        await serving;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var connection in _made)
            connection.Abort();
        _listener.Dispose();
        await Limits.UntilAsync(() => BuffersHeld <= 0, $"{BuffersHeld} buffers were not returned ({Name})");
    }
}

/// <summary>Every wait of a test has an end.</summary>
public static class Limits
{
    public static readonly TimeSpan Time = TimeSpan.FromSeconds(20);

    public static CancellationToken Soon => new CancellationTokenSource(Time).Token;

    /// <summary>For what no event announces (a kernel queue, a counter): looks every 2 ms until the limit.</summary>
    public static async Task UntilAsync(Func<bool> condition, string failure)
    {
        var since = Stopwatch.GetTimestamp();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < Time, failure);
            await Task.Delay(2);
        }
    }

    /// <summary>Sockets this process has open; files and event queues come and go with the runtime.</summary>
    public static int OpenSockets() => Directory.EnumerateFileSystemEntries("/proc/self/fd").Count(path =>
    {
        try
        {
            return new FileInfo(path).LinkTarget?.StartsWith("socket:", StringComparison.Ordinal) == true;
        }
        catch (IOException)
        {
            return false; // closed between the listing and the look
        }
    });

    public static Task<T> InTime<T>(this Task<T> task) => task.WaitAsync(Time);

    public static Task InTime(this Task task) => task.WaitAsync(Time);

    public static Task<T> InTime<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Time);

    public static Task InTime(this ValueTask task) => task.AsTask().WaitAsync(Time);

    public static async Task<byte[]> ReadToEndAsync(Connection connection)
    {
        var all = new MemoryStream();
        await connection.Input.CopyToAsync(all).WaitAsync(Time);
        return all.ToArray();
    }

    public static byte[] Bytes(int count, int seed = 1)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }
}

/// <summary>
/// Tests that count what the whole process holds (buffers, descriptors, CPU) cannot run beside others.
/// </summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class Alone;
