namespace Mortise.Transports.Kernel;

/// <summary>
/// The descriptor of a connected stream socket, and what can be asked of it without waiting. Calls that a signal
/// interrupts are made again.
/// </summary>
internal readonly unsafe struct StreamDescriptor(int number)
{
    public int Number { get; } = number;

    /// <summary>Bytes received, 0 at the peer's FIN, or -1 and why.</summary>
    public int Receive(Span<byte> buffer, out int errno)
    {
        fixed (byte* start = buffer)
            return Receive(start, buffer.Length, out errno);
    }

    public int Receive(byte* start, int bytes, out int errno)
    {
        while (true)
        {
            var received = (int)Libc.Receive(Number, start, bytes, Libc.MsgDontWait);
            errno = received < 0 ? Libc.Errno : 0;
            if (errno != Libc.Eintr)
                return received;
        }
    }

    /// <summary>Bytes that the kernel takes at once, or -1 and why.</summary>
    public nint Send(IoVector* parts, int count, out int errno)
    {
        var message = new MessageHeader { Parts = parts, PartCount = count };
        while (true)
        {
            var sent = count == 1
                ? Libc.Send(Number, parts->Address, parts->Bytes, Libc.MsgDontWait | Libc.MsgNoSignal)
                : Libc.SendMessage(Number, &message, Libc.MsgDontWait | Libc.MsgNoSignal);
            errno = sent < 0 ? Libc.Errno : 0;
            if (errno != Libc.Eintr)
                return sent;
        }
    }

    /// <summary>The same of three pieces that may be empty, but not all of them.</summary>
    public int Send(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail, out int errno)
    {
        fixed (byte* first = head, second = payload, third = tail)
        {
            var parts = stackalloc IoVector[3];
            var count = 0;
            if (head.Length > 0)
                parts[count++] = new() { Address = first, Bytes = head.Length };
            if (payload.Length > 0)
                parts[count++] = new() { Address = second, Bytes = payload.Length };
            if (tail.Length > 0)
                parts[count++] = new() { Address = third, Bytes = tail.Length };
            return (int)Send(parts, count, out errno);
        }
    }

    /// <summary>Received by the kernel and by nobody else yet (FIONREAD).</summary>
    public int BytesWaiting()
    {
        var bytes = 0;
        return Libc.Control(Number, Libc.FionRead, &bytes) == 0 ? bytes : 0;
    }

    /// <summary>FIN behind what was sent. ENOTCONN after the peer's reset: there is nobody left to tell, and reading
    /// reports the reset.</summary>
    public void ShutdownSend() => _ = Libc.Shutdown(Number, Libc.ShutWrite);

    /// <summary>
    /// The close will throw away what the kernel has not sent, and tell the peer by RST (<c>socket(7)</c>, SO_LINGER).
    /// Unix sockets have no reset of this kind: the option does nothing there.
    /// </summary>
    public void ResetAtClose()
    {
        var onForZeroSeconds = stackalloc int[2] { 1, 0 };
        _ = Libc.SetSocketOption(Number, Libc.SolSocket, Libc.SoLinger, onForZeroSeconds, 2 * sizeof(int));
    }

    public void Close() => _ = Libc.Close(Number);
}
