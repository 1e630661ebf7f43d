using System.Runtime.CompilerServices;

namespace Mortise.Tests;

/// <summary>
/// The folder that this run, and every process it starts, takes for the system's temporary one; it goes with the run.
/// So it does not matter who left what there: a killed child its diagnostic sockets, the SDK that builds a sample its
/// empty folders, a test that failed its files.
/// </summary>
internal static class TempFolder
{
    private const string Variable = "TMPDIR";

    [ModuleInitializer]
    internal static void Begin()
    {
        if (OperatingSystem.IsWindows())
            return;
        var folder = Directory.CreateTempSubdirectory("mortise-tests-").FullName;
        Environment.SetEnvironmentVariable(Variable, folder);
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Remove(folder);
    }

    private static void Remove(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"{folder} stays behind: {e.Message}");
        }
    }
}
