using System.Buffers;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Mortise.Transports.Pipes;

namespace Mortise.Benchmarks;

/// <summary>Decodes and writes 1,000 frames of 64 bytes of payload in one buffer; figures are per frame.</summary>
[MemoryDiagnoser]
[Config(typeof(InThisProcess))]
public class FramingBench
{
    private const int Frames = 1000;

    private Framing _framing = null!;
    private byte[] _stream = [];
    private byte[] _payload = [];
    private readonly ArrayBufferWriter<byte> _written = new();

    [Params("len:4", "line", "varint", "json")]
    public string Rule { get; set; } = "";

    [GlobalSetup]
    public void Prepare()
    {
        _framing = Framing.Parse(Rule);
        _payload = new byte[64];
        _payload.AsSpan().Fill((byte)'1');
        Write();
        _stream = _written.WrittenSpan.ToArray();
    }

    [Benchmark(OperationsPerInvoke = Frames)]
    public void Write()
    {
        _written.ResetWrittenCount();
        for (var i = 0; i < Frames; i++)
            _framing.Write(_payload, _written);
    }

    [Benchmark(OperationsPerInvoke = Frames)]
    public long Decode()
    {
        var buffer = new ReadOnlySequence<byte>(_stream);
        FrameScan scan = default;
        long bytes = 0;
        while (_framing.TryRead(ref buffer, ref scan, out var payload))
            bytes += payload.Length;
        return bytes;
    }
}

/// <summary>
/// A buffer rented and returned on one thread, and four at once: two of its own and two by way of the depot on an
/// ordinary thread, all of its own on an event loop's.
/// </summary>
[MemoryDiagnoser]
[Config(typeof(InThisProcess))]
public class BufferBench
{
    private readonly Block[] _rented = new Block[4];

    [Params(2, 256)]
    public int ThreadKeeps { get; set; }

    [GlobalSetup]
    public void Adopt() => BlockPool.Shared.Adopt(ThreadKeeps);

    [Benchmark]
    public void One() => BlockPool.Shared.Return(BlockPool.Shared.Rent(BlockPool.SmallBytes));

    [Benchmark]
    public void FourAtOnce()
    {
        for (var i = 0; i < _rented.Length; i++)
            _rented[i] = BlockPool.Shared.Rent(BlockPool.SmallBytes);
        foreach (var block in _rented)
            BlockPool.Shared.Return(block);
    }
}

[MemoryDiagnoser]
[Config(typeof(InThisProcess))]
public class EndpointBench
{
    [Params(":7007", "tcp://127.0.0.1:7007", "tcp://[2001:db8::1]:7007", "unix:/run/mortise.sock")]
    public string Text { get; set; } = "";

    [Benchmark]
    public Endpoint Parse() => Endpoint.Parse(Text);
}

/// <summary>No project is generated and restored per run: that would need the network.</summary>
internal sealed class InThisProcess : BenchmarkDotNet.Configs.ManualConfig
{
    public InThisProcess()
    {
        AddJob(Job.ShortRun.WithToolchain(InProcessEmitToolchain.Instance));
        ArtifactsPath = "artifacts/benchmarks";
    }
}
