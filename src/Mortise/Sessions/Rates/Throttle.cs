using Mortise.Server;

namespace Mortise.Sessions.Rates;

/// <summary>
/// Holds one session to its rates: counts what was read, and says when to read on. For the session's reader only; what
/// it shares with others of its address is safe by itself.
/// </summary>
internal sealed class Throttle
{
    /// <summary>A pause shorter than this is not worth a timer; the rate is kept over many.</summary>
    private static readonly TimeSpan PauseMin = TimeSpan.FromMilliseconds(10);

    /// <summary>So soon a waiting session notices that it is over.</summary>
    private static readonly TimeSpan PauseMax = TimeSpan.FromMilliseconds(250);

    private readonly Connection _connection;
    private readonly RateBook _book;
    private readonly Allowance? _own;
    private readonly Allowance? _shared;
    private bool _mayLackMessages;
    private bool _mayLackBytes;

    private Throttle(Connection connection, RateBook book)
    {
        (_connection, _book) = (connection, book);
        if (book.Options.SessionRate is { } own)
            _own = new Allowance(own, book.Time, isShared: false);
        if (book.Options.AddressRate is { } shared && connection.RemoteEndpoint.Customer is { } address)
            _shared = book.Enter(address, shared);
        if (_shared is not null)
            connection.Closed.UnsafeRegister(static t => ((Throttle)t!).Leave(), this);
        // Others of the address may have used it up: a new connection is no new allowance.
        _mayLackMessages = _mayLackBytes = _shared is not null;
    }

    /// <summary>Bytes of what is read next that were counted before.</summary>
    public long BytesSeen { get; set; }

    /// <summary>Before it is read on, something may have to be waited for.</summary>
    public bool IsWaiting => _mayLackMessages || _mayLackBytes;

    /// <summary>A message may be taken now.</summary>
    public bool HasMessage =>
        !_mayLackMessages || !(_mayLackMessages = Lacking(isMessage: true, out _) > TimeSpan.Zero);

    /// <summary>Null where nothing is limited.</summary>
    public static Throttle? Of(Connection connection)
    {
        if (ConnectionServer.Of(connection) is not { } server
            || server.Options is { SessionRate: null, AddressRate: null })
        {
            return null;
        }

        var throttle = new Throttle(connection, server.Shared(static s => new RateBook(s)));
        return throttle is { _own: null, _shared: null } ? null : throttle;
    }

    /// <summary>One message was taken; false where it was one too many, and the connection is aborted.</summary>
    public bool CountMessage() => Count(_own, 1, isMessage: true) && Count(_shared, 1, isMessage: true);

    /// <summary>
    /// So many bytes are there, with those seen before; false where they are too many, and the connection is aborted.
    /// </summary>
    public bool CountBytes(long bytes)
    {
        var fresh = bytes - BytesSeen;
        return Count(_own, fresh, isMessage: false) && Count(_shared, fresh, isMessage: false);
    }

    /// <summary>Ends when a message may be taken.</summary>
    public ValueTask WaitForMessageAsync(CancellationToken cancellationToken) =>
        WaitAsync(isMessage: true, cancellationToken);

    /// <summary>Ends when bytes may be received.</summary>
    public ValueTask WaitForBytesAsync(CancellationToken cancellationToken) =>
        WaitAsync(isMessage: false, cancellationToken);

    private void Leave() => _book.Leave(_connection.RemoteEndpoint.Customer!, _shared!);

    private bool Count(Allowance? allowance, double amount, bool isMessage)
    {
        if ((isMessage ? allowance?.Messages : allowance?.Bytes) is not { } bucket)
            return true;
        if (!allowance!.Disconnects)
        {
            var left = bucket.Take(amount);
            if (isMessage)
                _mayLackMessages |= left < 1;
            else
                _mayLackBytes |= left < 0;
            return true;
        }

        if (bucket.TryTake(amount))
            return true;
        _book.Tell(_connection, allowance, isMessage);
        _connection.AbortFor(CloseReason.RateLimit);
        return false;
    }

    /// <summary>Where the caller is at home, it comes back there.</summary>
    private async ValueTask WaitAsync(bool isMessage, CancellationToken cancellationToken)
    {
        var wait = Lacking(isMessage, out var allowance);
        if (wait > TimeSpan.Zero)
            _book.Tell(_connection, allowance!, isMessage);
        // What a server that stops has let in already is handled without delay.
        while (wait > TimeSpan.Zero && _connection is { CloseReason: null, InputEndedFor: null })
        {
            var pause = TimeSpan.FromTicks(Math.Clamp(wait.Ticks, PauseMin.Ticks, PauseMax.Ticks));
            await Task.Delay(pause, _book.Time, cancellationToken).ConfigureAwait(true);
            wait = Lacking(isMessage, out _);
        }

        if (isMessage)
            _mayLackMessages = false;
        else
            _mayLackBytes = false;
    }

    /// <summary>The longer of the two waits, and whose it is.</summary>
    private TimeSpan Lacking(bool isMessage, out Allowance? allowance)
    {
        var own = Until(_own, isMessage);
        var shared = Until(_shared, isMessage);
        allowance = own >= shared ? _own : _shared;
        return own >= shared ? own : shared;
    }

    private static TimeSpan Until(Allowance? allowance, bool isMessage)
    {
        if (allowance is null or { Disconnects: true })
            return TimeSpan.Zero;
        return (isMessage ? allowance.Messages?.Until(1) : allowance.Bytes?.Until(0)) ?? TimeSpan.Zero;
    }
}
