using System.Collections.Frozen;
using System.Globalization;
using System.Net.Sockets;
using Mortise.Errors;

namespace Mortise;

/// <summary>
/// Every failure a socket can bring, by each of its names: <c>EADDRINUSE</c>, errno 98, <c>WSAEADDRINUSE</c>, Winsock
/// 10048 and .NET's <c>AddressAlreadyInUse</c> are one entry. Looking up never throws: what is not known is said so.
/// </summary>
/// <example><code>
/// catch (SocketException e) { Console.Error.WriteLine(ErrorCatalogue.From(e).English.Tries[0]); }
/// </code></example>
public static class ErrorCatalogue
{
    private static readonly List<(ErrorEntry Entry, string[] Aliases)> Read = CatalogueReader.ReadAll();

    /// <summary>All entries, grouped by theme.</summary>
    public static IReadOnlyList<ErrorEntry> All { get; } = [.. Read.Select(r => r.Entry)];

    private static readonly FrozenDictionary<int, ErrorEntry> Errnos =
        All.Where(e => e.Errno != 0).ToFrozenDictionary(e => e.Errno);

    private static readonly FrozenDictionary<int, ErrorEntry> Winsocks =
        All.Where(e => e.Winsock != 0).ToFrozenDictionary(e => e.Winsock);

    private static readonly FrozenDictionary<string, ErrorEntry> Names =
        Read.SelectMany(NamesOf).ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// Finds an entry by a symbol in any case (POSIX, Winsock, .NET or ours), an errno or a Winsock number.
    /// </summary>
    /// <returns>False where nothing matches; <paramref name="entry"/> then says so in its own words.</returns>
    public static bool TryFind(string text, out ErrorEntry entry)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = text.Trim();
        if (Names.TryGetValue(text, out entry!))
            return true;
        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
        {
            // A negative number is a result of io_uring or of a raw system call.
            if (Errnos.TryGetValue(number < 0 ? -number : number, out entry!)
                || Winsocks.TryGetValue(number, out entry!))
                return true;
            entry = Unknown(number);
            return false;
        }
        if (Enum.TryParse<SocketError>(text, ignoreCase: true, out var error) && Enum.IsDefined(error)
            && error != SocketError.Success && !text.Contains(','))
        {
            entry = From(error);
            return true;
        }
        entry = Unknown(text);
        return false;
    }

    /// <summary>The entry of a Linux errno value; see errno(3). A negative value is read as its negation.</summary>
    public static ErrorEntry ByErrno(int errno)
    {
        var positive = errno is < 0 and > int.MinValue ? -errno : errno;
        return Errnos.TryGetValue(positive, out var entry) ? entry : Unknown(positive);
    }

    /// <summary>The entry of a socket exception.</summary>
    /// <remarks>
    /// Outside Windows the runtime turns errno into <see cref="SocketError"/> and back, and loses some on the way:
    /// ENFILE becomes EMFILE, EPERM becomes EACCES, and a Unix path's ENOENT becomes EADDRNOTAVAIL.
    /// </remarks>
    public static ErrorEntry From(SocketException exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        return From(exception.SocketErrorCode);
    }

    /// <summary>The entry of .NET's name for a failure.</summary>
    public static ErrorEntry From(SocketError error) => error switch
    {
        // Outside Windows the runtime says Shutdown for EPIPE and Disconnecting for ESHUTDOWN.
        SocketError.Shutdown when !OperatingSystem.IsWindows() => Names["EPIPE"],
        SocketError.Disconnecting when !OperatingSystem.IsWindows() => Names["ESHUTDOWN"],
        SocketError.IOPending => Names["EINPROGRESS"],
        SocketError.SocketError => Names["unknown_error"],
        _ => Winsocks.TryGetValue((int)error, out var entry) ? entry : Unknown((int)error),
    };

    /// <summary>
    /// The entry of any exception: a socket's or ours, also one that stands inside an <see cref="IOException"/> or
    /// <see cref="AggregateException"/>.
    /// </summary>
    public static ErrorEntry From(Exception exception)
    {
        ArgumentNullException.ThrowIfNull(exception);
        for (Exception? at = exception; at is not null; at = at.InnerException)
        {
            var entry = at switch
            {
                SocketException socket => From(socket),
                MortiseException ours when Names.TryGetValue(ours.Symbol, out var known) => known,
                TimeoutException => Names["ETIMEDOUT"],
                OperationCanceledException => Names["ECANCELED"],
                _ => null,
            };
            if (entry is not null)
                return entry;
        }
        return Unknown(exception.GetType().Name);
    }

    private static IEnumerable<KeyValuePair<string, ErrorEntry>> NamesOf((ErrorEntry Entry, string[] Aliases) read)
    {
        yield return new(read.Entry.Symbol, read.Entry);
        if (read.Entry.WinsockSymbol is { } winsock && winsock != read.Entry.Symbol)
            yield return new(winsock, read.Entry);
        foreach (var alias in read.Aliases)
            yield return new(alias, read.Entry);
    }

    private static ErrorEntry Unknown(int number)
    {
        var text = number.ToString(CultureInfo.InvariantCulture);
        return number >= 10000 ? Unknown("E" + text, 0, number, text) : Unknown("E" + text, number, 0, text);
    }

    private static ErrorEntry Unknown(string name) => Unknown(name, 0, 0, name);

    private static ErrorEntry Unknown(string symbol, int errno, int winsock, string name) => new(symbol, errno, winsock,
        null,
        new($"the catalogue does not know {name}", ["it is rare for sockets, or it is not an error's name or number"],
            ["look it up in `man 3 errno`, or with `errno -l` from moreutils"]),
        new($"目录中没有 {name}", ["套接字很少返回它，或它根本不是错误的名称或编号"],
            ["查阅 `man 3 errno`，或用 moreutils 的 `errno -l` 查找"]));
}
