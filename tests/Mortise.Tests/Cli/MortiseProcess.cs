using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Mortise.Tests.Cli;

/// <summary>
/// The command as its users meet it: a child process, with its output as lines that can be awaited. Every wait is
/// bounded, and disposing kills what still runs.
/// </summary>
internal sealed class MortiseProcess : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private static readonly string CliPath = Path.Combine(AppContext.BaseDirectory, "Mortise.Cli.dll");

    private readonly Process _process;
    private readonly LineLog _out = new(), _err = new();
    private readonly Task _reading;

    private MortiseProcess(ProcessStartInfo start)
    {
        _process = Process.Start(start) ?? throw new InvalidOperationException("The process did not start.");
        _reading = Task.WhenAll(_out.ReadAsync(_process.StandardOutput), _err.ReadAsync(_process.StandardError));
    }

    public int Id => _process.Id;

    public Process Process => _process;

    public StreamWriter Input => _process.StandardInput;

    /// <summary>All of stdout so far; whole once <see cref="ExitAsync"/> has returned.</summary>
    public string Output => _out.Text;

    /// <summary>All of stderr so far.</summary>
    public string Error => _err.Text;

    public IReadOnlyList<string> OutputLines => _out.Lines;

    public IReadOnlyList<string> ErrorLines => _err.Lines;

    /// <summary>Starts <c>mortise ARGS</c>.</summary>
    public static MortiseProcess Start(params string[] args) => StartIn(null, args);

    /// <summary>The same in another working directory.</summary>
    public static MortiseProcess StartIn(string? directory, params string[] args)
    {
        var start = Prepare("dotnet", directory);
        start.ArgumentList.Add(CliPath);
        foreach (var arg in args)
            start.ArgumentList.Add(arg);
        return new MortiseProcess(start);
    }

    /// <summary>
    /// Runs a bash script in which <c>mortise</c> is the command, for pipes, limits (<c>ulimit</c>) and namespaces.
    /// </summary>
    public static MortiseProcess Shell(string script, string? directory = null)
    {
        var start = Prepare("bash", directory);
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add($"mortise() {{ dotnet '{CliPath}' \"$@\"; }}\nMORTISE='dotnet {CliPath}'\n{script}");
        return new MortiseProcess(start);
    }

    /// <summary>Runs <c>mortise ARGS</c> to its end with this on stdin.</summary>
    public static async Task<Finished> RunAsync(string[] args, string input = "")
    {
        await using var process = Start(args);
        return await process.FinishAsync(input);
    }

    /// <summary>Runs a script to its end; see <see cref="Shell"/>.</summary>
    public static async Task<Finished> RunShellAsync(string script, string? directory = null)
    {
        await using var process = Shell(script, directory);
        return await process.FinishAsync("");
    }

    /// <summary>Starts a server with <c>--json</c> and returns it with its first endpoint, once it listens.</summary>
    public static async Task<(MortiseProcess Server, Endpoint Endpoint)> ServeAsync(params string[] args)
    {
        var server = Start(["serve", .. args, "--json"]);
        var listening = await server.EventAsync("listening");
        return (server, Endpoint.Parse(listening.GetProperty("endpoint").GetString()!));
    }

    /// <summary>The first line of stdout, past or to come, that matches.</summary>
    public Task<Match> OutputAsync(string pattern, TimeSpan? within = null) => WaitAsync(_out, pattern, within);

    /// <summary>Returns when stdout has more lines than this; it throws when none comes.</summary>
    public async Task NextOutputAsync(int lines, string otherwise)
    {
        if (await _out.FirstAsync(_ => true, Patience, lines) is null)
            throw new InvalidOperationException($"{otherwise} (exit {ExitText}); {Everything}");
    }

    /// <summary>The first line of stderr, past or to come, that matches.</summary>
    public Task<Match> ErrorAsync(string pattern, TimeSpan? within = null) => WaitAsync(_err, pattern, within);

    /// <summary>The first NDJSON event of this name, past or to come.</summary>
    public async Task<JsonElement> EventAsync(string ev, int skip = 0)
    {
        var line = await _out.FirstAsync(l => l.Contains($"\"ev\":\"{ev}\""), Patience, skip)
            ?? throw new InvalidOperationException($"no {ev} event (exit {ExitText}); {Everything}");
        return JsonDocument.Parse(line).RootElement;
    }

    /// <summary>Sends a signal: <c>INT</c>, <c>TERM</c>, <c>KILL</c>, <c>STOP</c>, …</summary>
    public void Signal(string name)
    {
        using var kill = Process.Start("kill", ["-" + name, _process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    /// <summary>Waits for the end; the exit code.</summary>
    public async Task<int> ExitAsync(TimeSpan? within = null)
    {
        using var expired = new CancellationTokenSource(within ?? Patience);
        try
        {
            await _process.WaitForExitAsync(expired.Token);
            await _reading.WaitAsync(expired.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"still running; {Everything}");
        }

        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private static ProcessStartInfo Prepare(string program, string? directory) => new(program)
    {
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        StandardOutputEncoding = Encoding.UTF8,
        StandardErrorEncoding = Encoding.UTF8,
        WorkingDirectory = directory ?? "",
    };

    private async Task<Finished> FinishAsync(string input)
    {
        try
        {
            await Input.WriteAsync(input);
            Input.Close();
        }
        catch (IOException)
        {
            // It ended without reading its input; its exit code says more than this would.
        }

        var code = await ExitAsync();
        return new Finished(code, Output, Error);
    }

    private async Task<Match> WaitAsync(LineLog log, string pattern, TimeSpan? within)
    {
        var regex = new Regex(pattern, RegexOptions.CultureInvariant);
        var line = await log.FirstAsync(regex.IsMatch, within ?? Patience)
            ?? throw new InvalidOperationException($"no line matches '{pattern}' (exit {ExitText}); {Everything}");
        return regex.Match(line);
    }

    private string ExitText => _process.HasExited ? $"{_process.ExitCode}" : "none, it runs";

    private string Everything => $"stdout:\n{Output}\nstderr:\n{Error}";

    /// <summary>A run that is over.</summary>
    public sealed record Finished(int ExitCode, string Output, string Error);

    /// <summary>Lines as they come, kept for those who ask later.</summary>
    private sealed class LineLog
    {
        private readonly ConcurrentQueue<string> _lines = new();
        private readonly Lock _gate = new();
        private TaskCompletionSource _grown = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private bool _ended;

        public IReadOnlyList<string> Lines => [.. _lines];

        public string Text => string.Join('\n', _lines);

        public async Task ReadAsync(StreamReader reader)
        {
            while (await reader.ReadLineAsync() is { } line)
            {
                _lines.Enqueue(line);
                Announce(ended: false);
            }

            Announce(ended: true);
        }

        /// <summary>Null when the stream ends or the time is over without such a line.</summary>
        public async Task<string?> FirstAsync(Func<string, bool> isWanted, TimeSpan within, int skip = 0)
        {
            using var expired = new CancellationTokenSource(within);
            while (true)
            {
                Task grown;
                bool ended;
                lock (_gate)
                    (grown, ended) = (_grown.Task, _ended);
                if (_lines.Where(isWanted).Skip(skip).FirstOrDefault() is { } line)
                    return line;
                if (ended || expired.IsCancellationRequested)
                    return null;
                await Task.WhenAny(grown, Task.Delay(Timeout.Infinite, expired.Token));
            }
        }

        private void Announce(bool ended)
        {
            TaskCompletionSource grown;
            lock (_gate)
            {
                grown = _grown;
                _ended |= ended;
                _grown = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }

            grown.TrySetResult();
        }
    }
}
