using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using System.Text.RegularExpressions;
using Mortise.Tests.Cli;
using Mortise.Tests.Tidy;

namespace Mortise.Tests.Samples;

/// <summary>One file of samples/, built as its readers build it and run as a process of its own.</summary>
internal static partial class Sample
{
    private static readonly TimeSpan BuildTimeout = TimeSpan.FromMinutes(2);
    private static readonly ConcurrentDictionary<string, Task<string>> Built = new();

    // Builds side by side would fight for the machine; one after another each takes two to three seconds.
    private static readonly SemaphoreSlim OneAtATime = new(1);

    public static string Folder { get; } = Path.Combine(Repository.Root, "samples");

    public static string Configuration { get; } =
        typeof(Sample).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;

    public static string TextOf(string name) => File.ReadAllText(Path.Combine(Folder, name + ".cs"));

    /// <summary>Starts <c>samples/NAME.cs ARGS</c>.</summary>
    public static Task<MortiseProcess> StartAsync(string name, params string[] args) =>
        StartFileAsync(Path.Combine(Folder, name + ".cs"), args);

    /// <summary>Builds a sample now, so that starting it later takes no more than a start.</summary>
    public static Task PrepareAsync(string name) => BuiltAsync(Path.Combine(Folder, name + ".cs"));

    /// <summary>Builds a one-file program, once, and starts it.</summary>
    public static async Task<MortiseProcess> StartFileAsync(string file, params string[] args)
    {
        var dll = await BuiltAsync(file);
        var words = string.Join(' ', args.Select(a => $"'{a}'"));
        return MortiseProcess.Shell($"exec dotnet '{dll}' {words}");
    }

    /// <summary>Starts a server and returns once it takes connections at the port it was given.</summary>
    public static async Task<(MortiseProcess Server, Endpoint At)> ServeAsync(string name, params string[] before)
    {
        var at = Loopback.FreeEndpoint();   // the samples do not print the port they got
        var server = await StartAsync(name, [.. before, at.ToString()]);
        await using var probe = await ConnectAsync(at);
        return (server, at);
    }

    /// <summary>Connects as soon as somebody listens.</summary>
    public static ValueTask<Connection> ConnectAsync(Endpoint at) => SocketClient.ConnectAsync(at, Patiently);

    /// <summary>The same for messages.</summary>
    public static ValueTask<Session<T>> ConnectAsync<T>(Endpoint at, Codec<T> codec) =>
        SocketClient.ConnectAsync(at, codec, Patiently);

    private static void Patiently(ClientOptions options)
    {
        options.Retries = 200;
        options.RetryBackoff = Backoff.Constant(TimeSpan.FromMilliseconds(100));
    }

    private static Task<string> BuiltAsync(string file) =>
        Built.GetOrAdd(file, path => Task.Run(() => BuildAsync(path)));

    private static async Task<string> BuildAsync(string file)
    {
        await OneAtATime.WaitAsync();
        try
        {
            // The library was built together with these tests; building it again would write what they have loaded.
            using var build = Process.Start(new ProcessStartInfo("dotnet", ["build", file, "--no-dependencies",
                "-c", Configuration, "-v:minimal", "-nologo", "-tl:off"])
            {
                RedirectStandardOutput = true,
                WorkingDirectory = Repository.Root,
            })!;
            using var limit = new CancellationTokenSource(BuildTimeout);
            var said = await build.StandardOutput.ReadToEndAsync(limit.Token);
            await build.WaitForExitAsync(limit.Token);
            return build.ExitCode == 0 && ResultLine().Match(said) is { Success: true } result
                ? result.Groups[1].Value
                : throw new InvalidOperationException($"{file} does not build (exit {build.ExitCode}):\n{said}");
        }
        finally
        {
            OneAtATime.Release();
        }
    }

    // "  echo.cs -> /…/bin/release/echo.dll", the last line that names a result.
    [GeneratedRegex(@"\.cs -> (\S.*\.dll)\s*$", RegexOptions.Multiline | RegexOptions.RightToLeft)]
    private static partial Regex ResultLine();
}
