using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Kernel;

namespace Mortise.Transports.Sockets;

/// <summary>
/// The file behind a Unix listener. A file left by a killed server is found by asking: if nobody answers a connect, it
/// is stale and removed; if somebody answers, the address is in use. The file goes away with its listener, unless the
/// path has come to name another file by then.
/// </summary>
internal sealed class UnixSocketFile(string path)
{
    private const int IsBound = 1;

    private readonly List<string> _notes = [];
    private FileIdentity? _bound;
    private int _state;

    public IReadOnlyList<string> Notes => _notes;

    /// <exception cref="BindException">Something lives at the path: a server, or a file that is not a
    /// socket.</exception>
    public void ClearStale(string endpoint, SocketType type = SocketType.Stream)
    {
        if (!File.Exists(path))
            return;
        if (IsPlainFile())
            throw new BindException(endpoint, "EADDRINUSE", "a file that is not a socket has this name",
                "choose another path, or remove the file yourself", 98);
        using var probe = new Socket(AddressFamily.Unix, type, ProtocolType.Unspecified);
        probe.Blocking = false; // a connect to a full accept queue would wait for a place in it
        try
        {
            probe.Connect(new UnixDomainSocketEndPoint(path));
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            _notes.Add($"removed the stale socket file {path}: its server is gone (a connect was refused)");
            return;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
        {
            // Its queue is full, so somebody listens.
        }
        catch (SocketException e)
        {
            throw Failures.Bind(e, endpoint);
        }

        throw BindFailure.InUse(endpoint, "another server answers on this socket file",
            "stop that server, or choose another path");
    }

    /// <summary>The file is there, and it is ours.</summary>
    public void Bound(UnixFileMode? mode)
    {
        _bound = FileIdentity.Of(path);
        _state = IsBound;
        if (mode is { } permissions && !OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, permissions);
    }

    /// <summary>
    /// Call it while the socket is open: until then nobody else's file can have the number of ours. Only once: after
    /// that it may, and the path belongs to the next server.
    /// </summary>
    public void Remove()
    {
        if (Interlocked.Exchange(ref _state, 0) != IsBound || FileIdentity.Of(path) != _bound)
            return;
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The folder went away or was locked after the bind; the next server's ClearStale deals with it.
        }
    }

    /// <summary>
    /// A connect cannot tell, it is refused by both; but a socket cannot be opened as a file (ENXIO).
    /// </summary>
    private bool IsPlainFile()
    {
        try
        {
            using var file = File.OpenHandle(path);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
