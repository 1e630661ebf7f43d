using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Mortise.Cli;

/// <summary>Whoever read our output has gone away (<c>| head</c>): not a failure, the command ends with 0.</summary>
internal sealed class ClosedOutputException(Exception inner) : IOException("standard output was closed", inner);

/// <summary>Standard output as bytes, and what <see cref="Console.Out"/> stands on.</summary>
internal static class StandardOutput
{
    private const int BrokenPipe = 32;

    /// <summary>UTF-8 without a byte order mark: what we print is our bytes on every system.</summary>
    public static Encoding Utf8 { get; } = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);

    /// <summary>From here on Console.WriteLine throws <see cref="ClosedOutputException"/>.</summary>
    public static void Install() => Console.SetOut(new StreamWriter(Open(), Utf8, 1024) { AutoFlush = true });

    /// <summary>
    /// .NET's own console stream swallows EPIPE, and a server under <c>| head</c> would log for ever; a file stream
    /// says so. It must not be used for a regular file: it keeps an offset of its own, and whoever shares the
    /// descriptor (<c>{ a; b; } > file</c>) would write over it.
    /// </summary>
    public static Stream Open()
    {
        if (OperatingSystem.IsWindows() || !Console.IsOutputRedirected)
            return Console.OpenStandardOutput();
        var stream = new FileStream(new SafeFileHandle(1, ownsHandle: false), FileAccess.Write, bufferSize: 0);
        return stream.CanSeek ? Console.OpenStandardOutput() : new PipeOut(stream);
    }

    private sealed class PipeOut(Stream pipe) : Stream
    {
        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => throw new NotSupportedException();
        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            try
            {
                pipe.Write(buffer);
            }
            catch (IOException e) when ((e.HResult & 0xFFFF) == BrokenPipe)
            {
                throw new ClosedOutputException(e);
            }
            catch (UnauthorizedAccessException) // EBADF: `>&-`, and by now the number may be another file's
            {
                throw new InvalidSettingException("write", "standard output", "it was closed before the start",
                    "if nobody reads it, write `> /dev/null`");
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush()
        {
            // Nothing is kept back: every write is one write(2).
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
