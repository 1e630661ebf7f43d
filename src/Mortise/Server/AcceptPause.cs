using Mortise.Errors;
using Mortise.Telemetry;

namespace Mortise.Server;

/// <summary>
/// What an accept loop does after an error: it waits 10 ms, then twice as long up to 1 s, and says so once per burst. A
/// loop that tried again at once would burn a core for as long as descriptors are short.
/// </summary>
internal sealed class AcceptPause(ServerOptions options, string listener)
{
    private static readonly TimeSpan Min = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan Max = TimeSpan.FromSeconds(1);

    private TimeSpan _pause;
    private int _errors;

    public Task AfterAsync(Exception error, CancellationToken cancellationToken)
    {
        _pause = _errors == 0 ? Min : _pause * 2 < Max ? _pause * 2 : Max;
        if (_errors++ == 0)
            Tell(error as MortiseException ?? new MortiseException("accept", listener, "fault", error.Message));
        return Task.Delay(_pause, options.Time, cancellationToken);
    }

    private void Tell(MortiseException error) =>
        ServerLog.AcceptErrors(options.Log, listener, error.Symbol, error.Errno, error.Reason, Max);

    public void Recovered()
    {
        if (_errors > 0)
            ServerLog.AcceptRecovered(options.Log, listener, _errors);
        _errors = 0;
    }
}
