using Microsoft.Extensions.Logging;

namespace Mortise.Testing;

/// <summary>Keeps warnings and errors, with what was thrown.</summary>
internal sealed class TestLog : ILogger
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];

    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_gate)
                return [.. _lines];
        }
    }

    public bool IsEnabled(LogLevel logLevel) => logLevel is >= LogLevel.Warning and < LogLevel.None;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        ArgumentNullException.ThrowIfNull(formatter);
        if (!IsEnabled(logLevel))
            return;
        var line = formatter(state, exception);
        lock (_gate)
            _lines.Add(exception is null ? line : $"{line}{Environment.NewLine}{exception}");
    }
}
