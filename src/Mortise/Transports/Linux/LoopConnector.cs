using System.Net;
using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Kernel;
using Mortise.Transports.Loops;
using Mortise.Transports.Sockets;

namespace Mortise.Transports.Linux;

/// <summary>
/// Connects on a loop: <c>connect(2)</c> does not block, and the loop says when it is over. A caller that runs on a
/// loop gets a connection that lives there; for others it lives on the one with least to do, and their code does not.
/// </summary>
internal static class LoopConnector
{
    private const int Econnreset = 104;

    /// <exception cref="ConnectException">The attempt failed; no descriptor is left behind.</exception>
    public static async ValueTask<Connection> ConnectAsync(LoopGroup group, Endpoint endpoint,
        TransportOptions options, CancellationToken cancellationToken)
    {
        var address = endpoint.ToSocketEndPoint()
            ?? throw new InvalidOperationException($"{endpoint} is not resolved.");
        var caller = (options.Home as LoopContext)?.Loop ?? EventLoop.Current;
        var home = group.HomeFor(caller);
        var fd = TakeOver(ClientSocket.Create(endpoint, address, options));
        try
        {
            var errno = Begin(fd, address);
            if (errno == Libc.Einprogress)
                errno = await WaitAsync(home, fd, cancellationToken).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            if (errno is not (0 or Econnreset))
                throw Failures.Connect(errno, endpoint.ToString());
            SetBlocking(fd);
            var local = SocketAddressText.OfSocket(endpoint.Kind, fd);
            if (!endpoint.IsUnix && local.Port == endpoint.Port && local.Host == endpoint.Host)
                throw ClientSocket.SelfConnected(endpoint);
            var connection = new LoopConnection(home, fd, local, endpoint, options) { RunsAtHome = home == caller };
            // It was accepted, and reset at once: that is the end of a connection, not of an attempt.
            if (errno == Econnreset)
                connection.Fail("recv", errno);
            else
                connection.Begin();
            return connection;
        }
        catch
        {
            _ = Libc.Close(fd);
            throw;
        }
        finally
        {
            // The name of a bound client is the kernel's by now; its file serves nobody.
            if (options.Bind is { IsUnix: true, IsAbstract: false } bound)
                Remove(bound.Host);
        }
    }

    private static void Remove(string file)
    {
        try
        {
            File.Delete(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It stays, as it does when a process dies. How the attempt ended is what the caller must hear.
        }
    }

    /// <summary>From here on the descriptor is ours alone, and in no way the runtime's.</summary>
    private static int TakeOver(Socket socket)
    {
        socket.Blocking = false;
        var fd = (int)socket.SafeHandle.DangerousGetHandle();
        socket.SafeHandle.SetHandleAsInvalid();
        GC.SuppressFinalize(socket);
        return fd;
    }

    private static unsafe int Begin(int fd, EndPoint address)
    {
        var name = address.Serialize();
        fixed (byte* bytes = name.Buffer.Span)
        {
            // Interrupted by a signal it goes on all the same, as one that is in progress (connect(2)).
            return Libc.Connect(fd, bytes, (uint)name.Size) == 0 ? 0
                : Libc.Errno is var errno and not Libc.Eintr ? errno : Libc.Einprogress;
        }
    }

    private static async Task<int> WaitAsync(EventLoop home, int fd, CancellationToken cancellationToken)
    {
        var watch = new ConnectingWatch(home, fd);
        home.Post(static w => ((ConnectingWatch)w!).Begin(), watch);
        var cancelling = cancellationToken.UnsafeRegister(
            static w => ((ConnectingWatch)w!).GiveUp(), watch);
        await using (cancelling.ConfigureAwait(false))
            return await watch.Over.ConfigureAwait(false);
    }

    /// <summary>What io_uring gets must wait by itself: with O_NONBLOCK each wait would be an EAGAIN.</summary>
    private static unsafe void SetBlocking(int fd)
    {
        var off = 0;
        _ = Libc.Control(fd, Libc.FionBio, &off);
    }

    /// <summary>A connect in progress: writable, or failed, when it is over.</summary>
    private sealed class ConnectingWatch(EventLoop loop, int fd) : Watch(fd, writable: true)
    {
        private const int Pending = -1, Ecanceled = 125;

        private readonly TaskCompletionSource<int> _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _errno = Pending;
        private bool _isWatched;

        /// <summary>Why it failed, or 0; then nobody watches the descriptor any more.</summary>
        public Task<int> Over => _over.Task;

        public void Begin()
        {
            try
            {
                loop.Poller.Add(this);
                _isWatched = true;
            }
            catch (MortiseException e)
            {
                _over.SetResult(e.Errno);
            }
        }

        public void GiveUp() => loop.Post(static w => ((ConnectingWatch)w!).End(Ecanceled), this);

        public override unsafe void OnReady()
        {
            int errno;
            var bytes = (uint)sizeof(int);
            if (Libc.GetSocketOption(Fd, Libc.SolSocket, Libc.SoError, &errno, &bytes) != 0)
                errno = Libc.Errno;
            End(errno);
        }

        public override void OnRemoved() => _over.SetResult(_errno);

        private void End(int errno)
        {
            if (_errno != Pending)
                return;
            _errno = errno;
            if (_isWatched)
                loop.Poller.Remove(this);
        }
    }
}
