using System.Diagnostics;
using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Api;

/// <summary>
/// Linux is where these tests run; for Windows and macOS the library is compiled, and a platform call without a guard
/// does not compile. Its own native calls are all in one room, for Linux. Running elsewhere is not claimed.
/// </summary>
public sealed class PortabilityTests
{
    private const string KernelRoom = "Mortise.Transports.Kernel";
    private static readonly TimeSpan BuildTimeout = TimeSpan.FromMinutes(4);

    [Fact]
    public async Task The_library_compiles_for_Windows_and_macOS_and_only_one_room_has_native_calls()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "build.sh needs a POSIX shell");
        Assert.Equal([KernelRoom], RoomsWithNativeCalls(typeof(SocketServer).Assembly.Location));
        Assert.Contains("dotnet_diagnostic.CA1416.severity = error",
            await File.ReadAllTextAsync(Path.Combine(Repository.Root, ".editorconfig")));

        var (exitCode, said) = await RunAsync("build.sh", "portable");
        Assert.True(exitCode == 0, said);
        var built = said.Split('\n').Where(l => l.Contains("Mortise.dll")).ToList();
        Assert.Equal(["win-x64", "osx-arm64"], built.Select(l => l.Split(':')[0]));
        Assert.All(built, l => Assert.Equal([KernelRoom],
            RoomsWithNativeCalls(Path.Combine(Repository.Root, l.Split(' ')[1]))));
        Row.Observed("N13", "compiled for win-x64 and osx-arm64 (not run there): native calls only in the Linux "
            + "engine's room of system calls, and a platform call without a guard is an error (CA1416)");
    }

    [Fact]
    public void A_native_call_is_found() =>
        Assert.NotEmpty(RoomsWithNativeCalls(typeof(System.Net.Sockets.Socket).Assembly.Location));

    /// <summary>Namespaces of the methods that have no body here but an entry point in a native library.</summary>
    private static IEnumerable<string> RoomsWithNativeCalls(string assemblyPath)
    {
        using var image = new PEReader(File.OpenRead(assemblyPath));
        var metadata = image.GetMetadataReader();
        return [.. metadata.MethodDefinitions.Select(metadata.GetMethodDefinition)
            .Where(m => m.Attributes.HasFlag(MethodAttributes.PinvokeImpl))
            .Select(m => NamespaceOf(metadata, m.GetDeclaringType())).Distinct().Order()];
    }

    private static string NamespaceOf(MetadataReader metadata, TypeDefinitionHandle handle)
    {
        var type = metadata.GetTypeDefinition(handle);
        return type.GetDeclaringType().IsNil
            ? metadata.GetString(type.Namespace)
            : NamespaceOf(metadata, type.GetDeclaringType());
    }

    private static async Task<(int ExitCode, string Said)> RunAsync(string script, string verb)
    {
        using var process = Process.Start(new ProcessStartInfo(Path.Combine(Repository.Root, script), verb)
        {
            RedirectStandardOutput = true,
        })!;
        using var limit = new CancellationTokenSource(BuildTimeout);
        try
        {
            var said = await process.StandardOutput.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, said);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }
}
