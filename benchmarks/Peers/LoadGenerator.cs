using System.Diagnostics;
using System.Globalization;

namespace Mortise.Peers;

/// <summary>What one run of the load saw.</summary>
internal sealed record LoadResult(
    long Messages, double Seconds, double ServerCpuNs, double LoadCpuNs, double P50Ns, double P99Ns)
{
    public double MicrosecondsPerMessage => ServerCpuNs / 1000 / Messages;

    public double MessagesPerSecond => Messages / Seconds;
}

/// <summary>
/// Runs the load in a process of its own: the C program where a compiler is found, since it costs least and leaves the
/// CPU to the contestant; else the managed one. Both print the same line.
/// </summary>
internal sealed class LoadGenerator
{
    private readonly string? _native = Compile();

    public string Name => _native is null ? "C#, blocking sockets" : "C, epoll";

    /// <exception cref="InvalidOperationException">A connection failed, or an echo was not what was sent.</exception>
    public async Task<LoadResult> RunAsync(ServerProcess server, LoadShape shape, BenchOptions options)
    {
        int[] numbers =
        [
            server.Port, server.Id, shape.Connections, shape.Bytes, shape.InFlight,
            (int)(options.WarmSeconds * 1000), (int)(options.MeasureSeconds * 1000), options.Seed,
        ];
        var arguments = numbers.Select(n => n.ToString(CultureInfo.InvariantCulture));
        using var load = _native is not null
            ? ServerProcess.Start(options.Cpu, _native, [.. arguments])
            : ServerProcess.Start(options.Cpu, Environment.ProcessPath!, ["load", .. arguments]);
        try
        {
            var error = load.StandardError.ReadToEndAsync();
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(
                6 * options.WarmSeconds + options.MeasureSeconds + 60));
            var line = await load.StandardOutput.ReadToEndAsync(limit.Token);
            await load.WaitForExitAsync(limit.Token);
            return load.ExitCode == 0 ? Parse(line) : throw new InvalidOperationException((await error).Trim());
        }
        finally
        {
            if (!load.HasExited)
                load.Kill();
        }
    }

    private static LoadResult Parse(string line)
    {
        var n = line.Split(' ').Select(field => double.Parse(field, CultureInfo.InvariantCulture)).ToArray();
        return new LoadResult((long)n[0], n[1], n[2], n[3], n[4], n[5]);
    }

    private static string? Compile()
    {
        var source = Path.Combine(AppContext.BaseDirectory, "native", "load.c");
        var program = Path.ChangeExtension(source, null);
        try
        {
            using var compiler = Process.Start(new ProcessStartInfo("cc", ["-O2", "-o", program, source]))!;
            compiler.WaitForExit();
            return compiler.ExitCode == 0 ? program : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;   // no compiler on this machine; the managed load does
        }
    }
}
