using System.Buffers;
using System.ComponentModel;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;

namespace Mortise.Tls;

/// <summary>
/// One handshake, either side: it is computed on the thread pool, by so many at a time as there are places, and while
/// it waits for its peer it takes none. So one that stalls keeps nobody out.
/// </summary>
internal sealed class Handshake(Connection connection, SemaphoreSlim? places, bool asServer)
{
    /// <summary>Enough to know a peer that speaks something else.</summary>
    private const int FirstBytes = 16;

    private bool _hasPlace;
    private bool _hasLooked;

    /// <summary>Why this side refuses the peer's certificate or name; it goes before what TLS says.</summary>
    public HandshakeException? Refusal { get; set; }

    /// <summary>Encrypts the connection, or throws and leaves it to the caller to close it.</summary>
    /// <exception cref="HandshakeException">There will be no TLS; it says why.</exception>
    /// <exception cref="ConnectionException">The connection ended before.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public async Task RunAsync(Func<SslStream, CancellationToken, Task> authenticate, string? serverName,
        CancellationToken cancellationToken)
    {
        if (asServer)
            await FirstBytesAsync(cancellationToken).ConfigureAwait(false);
        var bytes = new WireStream(connection) { Handshake = this };
        var stream = new SslStream(bytes, leaveInnerStreamOpen: true);
        try
        {
            await EnterAsync(cancellationToken).ConfigureAwait(false);
            await authenticate(stream, cancellationToken).ConfigureAwait(false);
            bytes.Handshake = null;
            connection.Put(new TlsLayer(connection, stream, bytes, serverName ?? NameOf(stream)));
        }
        catch (Exception e)
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            if (Refusal is { } refusal)
                throw refusal;
            if (e is MortiseException || !IsOfTls(e))
                throw;
            connection.ThrowIfEnded("tls");
            throw TlsFailures.NotAgreed(connection, e, asServer, bytes.Ended);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Goes on on the thread pool, when there is a place.</summary>
    public async ValueTask EnterAsync(CancellationToken cancellationToken)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        if (places is null)
            return;
        await places.WaitAsync(cancellationToken).ConfigureAwait(false);
        _hasPlace = true;
    }

    public void Leave()
    {
        if (!_hasPlace)
            return;
        _hasPlace = false;
        places!.Release();
    }

    /// <summary>The first bytes tell whether the peer speaks TLS at all.</summary>
    /// <exception cref="HandshakeException">It does not.</exception>
    public void Look(in ReadOnlySequence<byte> received)
    {
        if (_hasLooked)
            return;
        _hasLooked = true;
        Span<byte> first = stackalloc byte[FirstBytes];
        var start = received.Slice(0, Math.Min(received.Length, first.Length));
        start.CopyTo(first);
        if (TlsFailures.NoTls(connection, first[..(int)start.Length], asServer) is { } refusal)
            throw Refusal = refusal;
    }

    /// <summary>Nothing is made for a client that says nothing, or nothing of TLS.</summary>
    private async Task FirstBytesAsync(CancellationToken cancellationToken)
    {
        var read = await connection.WireInput.ReadAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (read.Buffer.IsEmpty)
                throw TlsFailures.NoHello(connection);
            Look(read.Buffer);
        }
        finally
        {
            connection.WireInput.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
        }
    }

    /// <summary>.NET says NotSupported where a hello cannot be read.</summary>
    private static bool IsOfTls(Exception e) => e is AuthenticationException or IOException or NotSupportedException
        or CryptographicException or Win32Exception;

    private static string? NameOf(SslStream stream) =>
        string.IsNullOrEmpty(stream.TargetHostName) ? null : stream.TargetHostName;
}
