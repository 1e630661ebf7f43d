using System.Net.Sockets;
using Mortise.Errors;

namespace Mortise.Transports.Sockets;

/// <summary>An accept that failed while its listener goes on, in words; see <c>accept(2)</c>.</summary>
internal static class AcceptFailure
{
    public static MortiseException Of(SocketException cause, Endpoint listener) =>
        Of(ErrorCatalogue.From(cause), listener, cause);

    public static MortiseException Of(int errno, Endpoint listener) =>
        Of(ErrorCatalogue.ByErrno(errno), listener, null);

    private static MortiseException Of(ErrorEntry entry, Endpoint listener, Exception? cause) =>
        new("accept", listener.ToString(), entry.Symbol, entry.English.Meaning, entry.English.Tries[0], entry.Errno,
            cause);
}
