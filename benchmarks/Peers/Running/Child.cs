using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Mortise.Peers.Running;

/// <summary>
/// A process on chosen CPUs that is asked one line and answers one line. Its standard error is kept for the message of
/// whoever waits in vain. It is killed by id at the end, whatever happened.
/// </summary>
internal sealed class Child : IDisposable
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(120);

    private static readonly ConcurrentDictionary<Process, byte> Alive = new();

    private readonly Process _process;
    private readonly string _name;
    private readonly List<string> _errors = [];

    /// <summary>
    /// Ctrl+C and SIGTERM end what was started: a server that outlives its bench would spoil the next one. The runtime
    /// has no such handlers of its own any more (.NET 10).
    /// </summary>
    private static readonly PosixSignalRegistration[] Signals =
        [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP }
            .Select(signal => PosixSignalRegistration.Create(signal, _ => KillAll()))];

    private Child(Process process, string name)
    {
        GC.KeepAlive(Signals);
        Alive[process] = 0;
        _process = process;
        _name = name;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_errors)
            {
                if (line.Data is { Length: > 0 } text && !text.StartsWith("   at ", StringComparison.Ordinal)
                    && _errors.Count < 5)
                    _errors.Add(text);
            }
        };
        process.BeginErrorReadLine();
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What it said on standard error, in one line; empty when it said nothing.</summary>
    public string Errors
    {
        get
        {
            lock (_errors)
                return string.Join("; ", _errors);
        }
    }

    /// <summary>Starts a program on one CPU from the outset, so that the runtime counts one processor.</summary>
    /// <param name="cpu">Null for all of them.</param>
    /// <param name="engine">What MORTISE_ENGINE is set to; null to leave it out.</param>
    /// <param name="program">Its path.</param>
    /// <param name="arguments">Passed as they are.</param>
    public static Child Start(int? cpu, string? engine, string program, params IEnumerable<string> arguments)
    {
        string[] pinned = cpu is null ? [program] : ["taskset", "-c", $"{cpu}", program];
        var info = new ProcessStartInfo(pinned[0], [.. pinned[1..], .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // What a shell happens to export (DOTNET_TieredPGO, …INLINE_COMPLETIONS) must not choose the winner.
        foreach (var name in info.Environment.Keys.Where(IsKnob).ToList())
            info.Environment.Remove(name);
        // With one processor the runtime waits ten times as long before it optimises, and then compiles inside the
        // measured window. This changes when that happens, not what comes out.
        info.Environment["DOTNET_TC_DelaySingleProcMultiplier"] = "1";
        if (engine is not null)
            info.Environment["MORTISE_ENGINE"] = engine;
        return new(Process.Start(info)!, Path.GetFileName(program));
    }

    /// <exception cref="BenchException">It ended, or said nothing for two minutes.</exception>
    public async Task<string> AskAsync(string line)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync(line);
            await _process.StandardInput.FlushAsync();
        }
        catch (IOException)
        {
            // it has ended: the missing answer says so, with what it left on standard error
        }

        return await ReadAsync(line);
    }

    /// <param name="question">What it was asked.</param>
    /// <param name="within">Null for two minutes.</param>
    /// <exception cref="BenchException">It ended, or said nothing for so long.</exception>
    public async Task<string> ReadAsync(string question = "its first line", TimeSpan? within = null)
    {
        using var limit = new CancellationTokenSource(within ?? AnswerTimeout);
        try
        {
            return await _process.StandardOutput.ReadLineAsync(limit.Token)
                ?? throw new BenchException(await LastWordsAsync(question));
        }
        catch (OperationCanceledException)
        {
            throw new BenchException($"{_name} gave no answer to '{question}' in "
                + $"{(within ?? AnswerTimeout).TotalSeconds} s");
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();   // SIGKILL by id: taskset has become the program (execve), there is no child to miss
        _process.WaitForExit();
        Alive.TryRemove(_process, out _); // not before: the bench may be on its way out
        _process.Dispose();
    }

    private static void KillAll()
    {
        foreach (var process in Alive.Keys)
            process.Kill();
    }

    private async Task<string> LastWordsAsync(string question)
    {
        await _process.WaitForExitAsync();
        return $"{_name} ended ({_process.ExitCode}) instead of answering '{question}': {Errors}";
    }

    private static bool IsKnob(string name) => name == "MORTISE_ENGINE"
        || (name.StartsWith("DOTNET_", StringComparison.Ordinal)
            && name is not ("DOTNET_ROOT" or "DOTNET_NOLOGO" or "DOTNET_CLI_TELEMETRY_OPTOUT"));
}

/// <summary>A contestant or a load failed: the pair is left out, and the page says why.</summary>
internal sealed class BenchException(string message) : Exception(message);
