using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Mortise.Addresses.Dns;

/// <summary>
/// A stub resolver's side of RFC 1035: one question to a recursive server over UDP, over TCP if the reply is cut.
/// Each try has its own connected socket (so the kernel drops other sources) and its own random port and id.
/// </summary>
internal sealed class DnsClient(IReadOnlyList<IPEndPoint> servers, TimeSpan timeout, int attempts, TimeProvider clock)
{
    /// <summary>We announce no larger size (no EDNS), so an honest UDP reply has at most 512 bytes.</summary>
    private const int UdpReplyBytesMax = 4096;

    /// <summary>Asks until there is an answer; the tries share the whole time.</summary>
    /// <exception cref="ResolveException">ETIMEDOUT: silence. TRY_AGAIN: failure or nonsense.</exception>
    public async Task<DnsReply> AskAsync(string name, DnsType type, CancellationToken cancellationToken)
    {
        ResolveException? failure = null;
        for (var attempt = 0; attempt < attempts; attempt++)
        {
            var server = servers[attempt % servers.Count];
            using var deadline = new CancellationTokenSource(timeout / attempts, clock);
            using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
            try
            {
                var reply = await AskOnceAsync(server, name, type, both.Token).ConfigureAwait(false);
                if (reply.Code is DnsCode.NoError or DnsCode.NameError)
                    return reply;
                failure = Again(name, server, $"answers {Word(reply.Code)}");
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                // Silence after an earlier try was answered with nonsense says less than the nonsense did.
                failure ??= new ResolveException(name, "ETIMEDOUT", string.Create(CultureInfo.InvariantCulture,
                    $"the DNS server {server} did not answer within {timeout.TotalSeconds:0.###} s"),
                    "check the server's address and that UDP reaches it");
            }
            catch (DnsFormatException malformed)
            {
                failure = Again(name, server, $"sends a malformed reply: {malformed.Message}");
            }
            catch (SocketException broken)
            {
                failure = Again(name, server, $"cannot be asked: {broken.SocketErrorCode}", broken);
            }
        }
        throw failure!;
    }

    private static ResolveException Again(string name, IPEndPoint server, string what, Exception? inner = null) =>
        new(name, "TRY_AGAIN", $"the DNS server {server} {what}", "try again, or ask another server", inner);

    private static string Word(DnsCode code) => code switch
    {
        DnsCode.ServerFailure => "SERVFAIL",
        DnsCode.Refused => "REFUSED",
        DnsCode.FormatError => "FORMERR",
        DnsCode.NotImplemented => "NOTIMP",
        _ => string.Create(CultureInfo.InvariantCulture, $"code {(int)code}"),
    };

    private static async Task<DnsReply> AskOnceAsync(IPEndPoint server, string name, DnsType type,
        CancellationToken cancellationToken)
    {
        var query = DnsMessage.EncodeQuery((ushort)RandomNumberGenerator.GetInt32(65536), name, type);
        var reply = await OverUdpAsync(server, query, cancellationToken).ConfigureAwait(false);
        return reply.Truncated
            ? await OverTcpAsync(server, query, cancellationToken).ConfigureAwait(false)
            : reply;
    }

    private static async Task<DnsReply> OverUdpAsync(IPEndPoint server, byte[] query,
        CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, cancellationToken).ConfigureAwait(false);
        await socket.SendAsync(query, cancellationToken).ConfigureAwait(false);
        var buffer = new byte[UdpReplyBytesMax + 1];
        while (true)
        {
            var got = await socket.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
            if (!DnsMessage.Answers(buffer.AsSpan(0, got), query))
                continue;
            return got <= UdpReplyBytesMax
                ? DnsMessage.Decode(buffer.AsSpan(0, got), query.Length)
                : throw new DnsFormatException("it is larger than a UDP reply may be");
        }
    }

    private static async Task<DnsReply> OverTcpAsync(IPEndPoint server, byte[] query,
        CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(server, cancellationToken).ConfigureAwait(false);
        using var stream = new NetworkStream(socket);
        var framed = new byte[2 + query.Length];
        BinaryPrimitives.WriteUInt16BigEndian(framed, (ushort)query.Length);
        query.CopyTo(framed, 2);
        try
        {
            await stream.WriteAsync(framed, cancellationToken).ConfigureAwait(false);
            await stream.ReadExactlyAsync(framed.AsMemory(0, 2), cancellationToken).ConfigureAwait(false);
            // The length has 16 bits, so a lie costs at most 64 KiB and the time that is left.
            var reply = new byte[BinaryPrimitives.ReadUInt16BigEndian(framed)];
            await stream.ReadExactlyAsync(reply, cancellationToken).ConfigureAwait(false);
            if (!DnsMessage.Answers(reply, query))
                throw new DnsFormatException("it does not answer the question");
            var read = DnsMessage.Decode(reply, query.Length);
            return read.Truncated ? throw new DnsFormatException("it is cut over TCP too") : read;
        }
        catch (IOException ended)
        {
            throw new DnsFormatException("the TCP connection ended inside it: " + ended.Message);
        }
    }
}
