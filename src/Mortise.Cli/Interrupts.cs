using System.Runtime.InteropServices;

namespace Mortise.Cli;

/// <summary>
/// SIGINT (Ctrl+C) and SIGTERM: the first asks the verb to finish, the second to drop everything; a verb that does not
/// leave after the second is ended.
/// </summary>
internal sealed class Interrupts : IDisposable
{
    private static readonly TimeSpan GraceAfterSecond = TimeSpan.FromSeconds(1);
    private static readonly CancellationTokenSource FirstSource = new(), SecondSource = new();

    private readonly PosixSignalRegistration _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
    private readonly PosixSignalRegistration _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);

    /// <summary>Cancelled by the first signal; the token that verbs get.</summary>
    public static CancellationToken First => FirstSource.Token;

    /// <summary>Cancelled by the second signal.</summary>
    public static CancellationToken Second => SecondSource.Token;

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
    }

    private static void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        if (!FirstSource.IsCancellationRequested)
        {
            FirstSource.Cancel();
            return;
        }

        SecondSource.Cancel();
        _ = Task.Delay(GraceAfterSecond).ContinueWith(_ => Environment.Exit(ExitCodes.Interrupted),
            TaskScheduler.Default);
    }
}
