using System.IO.Pipelines;
using BenchmarkDotNet.Attributes;
using Mortise.Transports.Pipes;

namespace Mortise.Benchmarks;

/// <summary>
/// A frame of 64 bytes that is received, read, written and sent, without a kernel: what the pipes themselves cost.
/// Figures are per frame. The stock pipes have the same work: one for receiving, one for sending.
/// </summary>
[MemoryDiagnoser]
[Config(typeof(InThisProcess))]
public class PipesBench
{
    private const int Frames = 1000, FrameBytes = 64;

    private readonly Pipe _received = new(Inline), _sent = new(Inline);
    private readonly byte[] _frame = new byte[FrameBytes];
    private Connection _connection = null!;

    private static PipeOptions Inline => new(readerScheduler: PipeScheduler.Inline,
        writerScheduler: PipeScheduler.Inline, useSynchronizationContext: false);

    [GlobalSetup]
    public void Connect() => _connection = new WireConnection(new EndlessWire(_frame), "mem:one", "mem:two");

    [Benchmark(OperationsPerInvoke = Frames)]
    public async Task Mortise()
    {
        for (var i = 0; i < Frames; i++)
            await PassAsync(_connection.Input, _connection.Output);
    }

    [Benchmark(OperationsPerInvoke = Frames, Baseline = true)]
    public async Task StockPipes()
    {
        for (var i = 0; i < Frames; i++)
        {
            await _received.Writer.WriteAsync(_frame);
            await PassAsync(_received.Reader, _sent.Writer);
            var read = await _sent.Reader.ReadAsync();
            _sent.Reader.AdvanceTo(read.Buffer.End);
        }
    }

    private static async ValueTask PassAsync(PipeReader from, PipeWriter to)
    {
        var read = await from.ReadAsync();
        foreach (var segment in read.Buffer)
            await to.WriteAsync(segment);
        from.AdvanceTo(read.Buffer.End);
    }

    /// <summary>A peer that always has sent one frame more and takes everything.</summary>
    private sealed class EndlessWire(byte[] frame) : Wire
    {
        public override int TryReceive(Memory<byte> buffer)
        {
            frame.CopyTo(buffer);
            return frame.Length;
        }

        public override ValueTask WaitReadableAsync() => default;

        public override void WakeReader()
        {
        }

        public override int TrySend(ReadOnlyMemory<byte> bytes) => bytes.Length;

        public override int TrySend(IList<ArraySegment<byte>> buffers) => buffers.Sum(buffer => buffer.Count);

        public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => new(bytes.Length);

        public override void ShutdownSend()
        {
        }

        public override void Close(bool reset)
        {
        }
    }
}
