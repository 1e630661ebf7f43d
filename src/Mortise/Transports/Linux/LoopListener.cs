using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using Mortise.Transports.Kernel;
using Mortise.Transports.Loops;
using Mortise.Transports.Sockets;

namespace Mortise.Transports.Linux;

/// <summary>
/// A listener whose socket is watched on the group's acceptor loop. Newcomers are taken with <c>accept4(2)</c>, one by
/// one and by whoever asks, because nobody may be accepted before there is a descriptor for them; the loop only says
/// when to ask again.
/// </summary>
internal sealed class LoopListener : Listener
{
    /// <summary>Newcomers taken in a row before the loop looks after its connections again.</summary>
    private const int RowMax = 64;

    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2);

    private readonly LoopGroup _group;
    private readonly TransportOptions _options;
    private readonly ListeningWatch[] _watches;
    private readonly CountdownEvent _open;
    private TaskCompletionSource _news = new();
    private MortiseException? _fault;
    private Endpoint? _lastLocal;
    private int _next;
    private int _row;
    private int _closed;

    public LoopListener(LoopGroup group, Endpoint endpoint, TransportOptions options)
    {
        _group = group;
        _options = options;
        group.StartAll();
        var acceptor = group.Acceptor; // refused before anything is bound, or not at all
        var sockets = Open(endpoint, options, group.Loops);
        Endpoint = sockets[0].Endpoint;
        Backlog = sockets[0].Backlog;
        Notes = sockets[0].Notes;
        _open = new CountdownEvent(sockets.Count);
        _watches = [.. sockets.Select(s => new ListeningWatch(this, s))];
        foreach (var watch in _watches)
            acceptor.Post(static w => ((ListeningWatch)w!).Begin(), watch);
    }

    public override Endpoint Endpoint { get; }

    public override int Backlog { get; }

    public override int AcceptQueueLength =>
        _watches.Length == 1 ? _watches[0].Socket.AcceptQueueLength : _watches.Sum(w => w.Socket.AcceptQueueLength);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<Connection> AcceptAsync(CancellationToken cancellationToken = default)
    {
        var caller = EventLoop.Current;
        var arrival = await ArriveAsync(cancellationToken).ConfigureAwait(false);
        // Whoever waited is told on the acceptor's loop, and must not stay there: what follows may block.
        if (EventLoop.Current is { } here && here != caller)
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        return Open(arrival);
    }

    public override bool TryAccept([NotNullWhen(true)] out Connection? connection)
    {
        connection = TryTake(out var arrival) ? Open(arrival) : null;
        return connection is not null;
    }

    public override void Dispose()
    {
        if (Interlocked.Exchange(ref _closed, 1) == 1)
            return;
        foreach (var watch in _watches)
            watch.End();
        SayNews();
        // The kernel may hold the socket for as long as it is watched. The loop cannot wait for itself.
        if (EventLoop.Current is null)
            _open.Wait(CloseTimeout);
    }

    internal override Task RunAsync(Func<Task> acceptAsync)
    {
        var run = new Task<Task>(acceptAsync);
        _group.Acceptor.Post(static r => ((Task<Task>)r!).RunSynchronously(TaskScheduler.Default), run);
        return run.Unwrap();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal override async ValueTask<Newcomer> MeetAsync(CancellationToken cancellationToken) =>
        Meet(await ArriveAsync(cancellationToken).ConfigureAwait(false));

    internal override bool TryMeet([NotNullWhen(true)] out Newcomer? newcomer)
    {
        newcomer = TryTake(out var arrival) ? Meet(arrival) : null;
        return newcomer is not null;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Arrival> ArriveAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var news = Volatile.Read(ref _news); // before the try: whoever comes after it completes this one
            var rowMax = DescriptorLedger.Process.IsScarce ? 1 : RowMax;
            if (_row < rowMax && TryTake(out var arrival))
            {
                _row++;
                return arrival;
            }

            if (Volatile.Read(ref _closed) == 1)
                throw new OperationCanceledException($"The listener on {Endpoint} was closed.");
            if (_fault is { } fault)
                throw fault;
            if (_row >= rowMax)
                _group.Acceptor.Post(static l => ((LoopListener)l!).SayNews(), this);
            await news.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            _row = 0;
        }
    }

    private bool TryTake(out Arrival arrival)
    {
        arrival = default;
        for (var tried = 0; tried < _watches.Length; tried++)
            if (TryTake(_watches[(uint)_next++ % (uint)_watches.Length], out arrival))
                return true;
        return false;
    }

    private LoopNewcomer Meet(Arrival arrival) =>
        new(_group, arrival.Fd, arrival.Local, arrival.Remote, _options);

    /// <summary>For who accepts by hand: a connection at once, on the caller's loop or that with least to do.</summary>
    private LoopConnection Open(Arrival arrival)
    {
        var caller = EventLoop.Current;
        var home = _group.HomeFor(caller);
        var connection = new LoopConnection(home, arrival.Fd, arrival.Local, arrival.Remote, _options)
        {
            RunsAtHome = home == caller,
        };
        connection.Begin();
        return connection;
    }

    private static List<ListeningSocket> Open(Endpoint endpoint, TransportOptions options, int loops)
    {
        var sockets = new List<ListeningSocket> { ListeningSocket.Open(endpoint, options) };
        try
        {
            // With SO_REUSEPORT the kernel spreads newcomers over several queues: one for each loop.
            while (options.ReusePort && !endpoint.IsUnix && sockets.Count < loops)
                sockets.Add(ListeningSocket.Open(sockets[0].Endpoint, options));
            return sockets;
        }
        catch
        {
            sockets.ForEach(s => s.Dispose());
            throw;
        }
    }

    private unsafe bool TryTake(ListeningWatch watch, out Arrival arrival)
    {
        arrival = default;
        var address = stackalloc byte[SocketAddressText.BytesMax];
        var addressBytes = (uint)SocketAddressText.BytesMax;
        var fd = watch.Accept(address, &addressBytes, out var errno);
        if (fd < 0)
        {
            return errno is Libc.Eagain || Volatile.Read(ref _closed) == 1 ? false
                : throw AcceptFailure.Of(errno, Endpoint);
        }

        var remote = SocketAddressText.Read(Endpoint.Kind,
            new ReadOnlySpan<byte>(address, (int)Math.Min(addressBytes, SocketAddressText.BytesMax)));
        arrival = new(fd, LocalOf(fd), remote);
        return true;
    }

    /// <summary>The listener's own address, unless it is that of every interface.</summary>
    private Endpoint LocalOf(int fd)
    {
        if (!Endpoint.IsWildcard)
            return Endpoint;
        var local = SocketAddressText.OfSocket(Endpoint.Kind, fd);
        return local.Equals(_lastLocal) ? _lastLocal : _lastLocal = local;
    }

    /// <summary>On the loop: everybody who waits tries again, right here.</summary>
    private void SayNews()
    {
        var news = Interlocked.Exchange(ref _news, new TaskCompletionSource());
        // Under the loop's context the runtime would send each of them to the thread pool instead.
        var context = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(null);
        try
        {
            news.SetResult();
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(context);
        }
    }

    /// <summary>What the kernel gave: nobody's yet.</summary>
    private readonly record struct Arrival(int Fd, Endpoint Local, Endpoint Remote);

    /// <summary>A listening socket on the acceptor's loop.</summary>
    private sealed class ListeningWatch(LoopListener owner, ListeningSocket socket)
        : Watch((int)socket.Socket.SafeHandle.DangerousGetHandle())
    {
        private readonly System.Runtime.InteropServices.SafeHandle _handle = socket.Socket.SafeHandle;
        private bool _isWatched;

        public ListeningSocket Socket => socket;

        public void Begin()
        {
            try
            {
                owner._group.Acceptor.Poller.Add(this);
                _isWatched = true;
            }
            catch (MortiseException e)
            {
                owner._fault = e; // accepting fails with it
                owner.SayNews();
            }
        }

        /// <summary>Nobody comes in any more from here on; the descriptor is closed when nobody watches it.</summary>
        public void End()
        {
            _ = Libc.Shutdown(Fd, Libc.ShutBoth);
            owner._group.Acceptor.Post(static w => ((ListeningWatch)w!).Remove(), this);
        }

        // From inside the poller, where nobody's code may run.
        public override void OnReady() => owner._group.Acceptor.Post(static o => ((LoopListener)o!).SayNews(), owner);

        public override void OnRemoved()
        {
            socket.Dispose();
            owner._open.Signal();
        }

        public unsafe int Accept(byte* address, uint* addressBytes, out int errno)
        {
            var held = false;
            errno = Libc.Eagain;
            try
            {
                _handle.DangerousAddRef(ref held); // so that nobody else gets the number meanwhile
                do
                {
                    var fd = Libc.Accept4(Fd, address, addressBytes, Libc.SockCloexec);
                    if (fd >= 0)
                        return fd;
                    errno = Libc.Errno;
                }
                while (errno == Libc.Eintr);
                return -1;
            }
            catch (ObjectDisposedException)
            {
                return -1;
            }
            finally
            {
                if (held)
                    _handle.DangerousRelease();
            }
        }

        private void Remove()
        {
            if (_isWatched)
                owner._group.Acceptor.Poller.Remove(this);
            else
                OnRemoved();
        }
    }
}
