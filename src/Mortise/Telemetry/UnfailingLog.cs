using Microsoft.Extensions.Logging;

namespace Mortise.Telemetry;

/// <summary>
/// The owner's log, which may be broken (a full disk, a provider that throws). A line that cannot be written is lost;
/// the accept loop and the places of connections are not.
/// </summary>
internal sealed class UnfailingLog(ILogger log) : ILogger
{
    public bool IsEnabled(LogLevel logLevel)
    {
        try
        {
            return log.IsEnabled(logLevel);
        }
        catch (Exception)
        {
            // There is nowhere to tell it: the log itself is what fails.
            return false;
        }
    }

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => log.BeginScope(state);

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        try
        {
            log.Log(logLevel, eventId, state, exception, formatter);
        }
        catch (Exception)
        {
            // As above.
        }
    }
}
