using Microsoft.Extensions.Logging;

namespace Mortise;

/// <summary>
/// The log of <see cref="SocketServer.RunAsync(Endpoint, Func{Connection, Task}, Action{ServerOptions}?,
/// CancellationToken)"/> when none is given: a program of two lines must not be silent about a handler that throws or a
/// peer that breaks the rule. Warnings and errors only, one line each; whoever wants none sets a NullLogger.
/// </summary>
internal sealed class WarningsToStandardError : ILogger
{
    public static WarningsToStandardError Instance { get; } = new();

    public bool IsEnabled(LogLevel logLevel) => logLevel is >= LogLevel.Warning and < LogLevel.None;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel))
            return;
        var text = $"mortise: {formatter(state, exception)}";
        try
        {
            Console.Error.WriteLine(exception is null ? text : $"{text}{Environment.NewLine}{exception}");
        }
        catch (IOException)
        {
            // Nobody reads standard error; the server serves on.
        }
    }
}
