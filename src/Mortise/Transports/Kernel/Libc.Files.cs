using System.Runtime.InteropServices;

namespace Mortise.Transports.Kernel;

internal static unsafe partial class Libc
{
    public const int AtWorkingDirectory = -100, AtSymlinkNoFollow = 0x100;                  // openat(2), statx(2)
    public const uint StatxIno = 0x100;                                                     // statx(2)
    public const int ShutBoth = 2;                                                          // shutdown(2)
    public const nuint FionBio = 0x5421, FionRead = 0x541B;                                 // ioctl(2)

    [DllImport("libc", EntryPoint = "statx", ExactSpelling = true)]
    public static extern int Statx(int directory, byte* path, int flags, uint mask, FileStatus* status);

    [DllImport("libc", EntryPoint = "ioctl", ExactSpelling = true)]
    public static extern int Control(int fd, nuint request, void* argument);
}

/// <summary>
/// <c>struct statx</c> of <c>statx(2)</c>, which is the same on every Linux; only what is read has a name.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct FileStatus
{
    [FieldOffset(32)]
    public ulong Inode;

    [FieldOffset(136)]
    public uint DeviceMajor;

    [FieldOffset(140)]
    public uint DeviceMinor;
}
