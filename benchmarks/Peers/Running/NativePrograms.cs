using System.Diagnostics;

namespace Mortise.Peers.Running;

/// <summary>
/// The C programs, compiled once beside the bench's own binaries. A library that is missing is installed where that is
/// possible (root and apt-get); else its server is left out and the page says why.
/// </summary>
internal sealed class NativePrograms
{
    private sealed record Source(string Name, string File, string[] Libraries, string? Package);

    private static readonly Source[] Sources =
    [
        new("load", "load.c", [], null),
        new("hold", "hold.c", [], null),
        new("churn", "churn.c", [], null),
        new("crowd", "crowd.c", [], null),
        new("c-broadcast", "broadcast.c", [], null),
        new("c-epoll", "epoll.c", [], null),
        new("c-epoll-256k", "epoll.c", ["-DBUFFER_KIB=256"], null),
        new("c-uring", "uring.c", ["-luring"], "liburing-dev"),
        new("libuv", "libuv.c", ["-luv"], "libuv1-dev"),
        new("libevent", "libevent.c", ["-levent_core"], "libevent-dev"),
        new("asio", "asio.cpp", ["-DASIO_STANDALONE", "-pthread"], "libasio-dev"),
    ];

    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "native");

    private readonly Dictionary<string, string> _missing = [];

    /// <summary>What could not be compiled, and why.</summary>
    public IReadOnlyDictionary<string, string> Missing => _missing;

    /// <summary>Compiler and libraries, for the page.</summary>
    public string Versions { get; private set; } = "";

    /// <exception cref="BenchException">There is no C compiler, or the load itself does not compile.</exception>
    public static NativePrograms Build(IEnumerable<string> names)
    {
        var programs = new NativePrograms();
        var wanted = Sources.Where(s => names.Contains(s.Name)).ToList();
        foreach (var source in wanted)
        {
            if (Compile(source) is not { } reason)
                continue;
            if (source.Package is null)
                throw new BenchException($"{source.File} does not compile: {reason}");
            if (!Install(source.Package) || Compile(source) is not null)
                programs._missing[source.Name] = $"{source.Package} is not installed here ({reason})";
        }

        var packages = wanted.Select(s => s.Package).OfType<string>().ToList();
        programs.Versions = string.Join("; ",
            [Run("cc", "--version").Output.Split('\n')[0], .. packages.Select(PackageVersion)]);
        return programs;
    }

    /// <exception cref="BenchException">It could not be compiled.</exception>
    public string PathOf(string name) => _missing.TryGetValue(name, out var reason)
        ? throw new BenchException(reason)
        : Path.Combine(Folder, "built", name);

    /// <summary>Null when it is there, else the compiler's first complaint.</summary>
    private static string? Compile(Source source)
    {
        var code = Path.Combine(Folder, source.File);
        var program = Path.Combine(Folder, "built", source.Name);
        var changed = Directory.GetFiles(Folder).Max(File.GetLastWriteTimeUtc);
        if (File.GetLastWriteTimeUtc(program) > changed)
            return null;
        Directory.CreateDirectory(Path.GetDirectoryName(program)!);
        var fresh = $"{program}.{Environment.ProcessId}"; // two benches may start at once
        var compiler = source.File.EndsWith(".cpp", StringComparison.Ordinal) ? "c++" : "cc";
        var (exitCode, output) = Run(compiler, ["-O2", "-o", fresh, code, .. source.Libraries]);
        if (exitCode != 0)
            return output.Split('\n').FirstOrDefault(line => line.Contains("error", StringComparison.Ordinal), output);
        File.Move(fresh, program, overwrite: true);
        return null;
    }

    private static bool Install(string package)
    {
        if (!Environment.IsPrivilegedProcess)
            return false;
        Console.Error.WriteLine($"installing {package}");
        return Run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package).ExitCode == 0;
    }

    private static string PackageVersion(string package)
    {
        var (exitCode, output) = Run("dpkg-query", "-W", "-f=${Package} ${Version}", package);
        return exitCode == 0 ? output.Trim() : $"{package} (version unknown)";
    }

    private static (int ExitCode, string Output) Run(string program, params string[] arguments)
    {
        try
        {
            var info = new ProcessStartInfo(program, arguments)
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                Environment = { ["DEBIAN_FRONTEND"] = "noninteractive", ["LC_ALL"] = "C" },
            };
            using var process = Process.Start(info)!;
            var errors = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd() + errors.Result;
            process.WaitForExit();
            return (process.ExitCode, output);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (127, $"error: no {program} on this machine");
        }
    }
}
