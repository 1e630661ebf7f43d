using System.Text;

namespace Mortise.Transports.Kernel;

/// <summary>
/// Which file a path names, whatever the path is called: its device and inode (<c>inode(7)</c>). A number may serve
/// again once the file is gone and nobody has it open, so compare while the first one is still held.
/// </summary>
internal readonly record struct FileIdentity(uint DeviceMajor, uint DeviceMinor, ulong Inode)
{
    /// <summary>
    /// What the path names now, a link itself and not its target; null where there is nothing, or no Linux.
    /// </summary>
    public static unsafe FileIdentity? Of(string path)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        FileStatus status;
        fixed (byte* name = Encoding.UTF8.GetBytes(path + '\0'))
        {
            return Libc.Statx(Libc.AtWorkingDirectory, name, Libc.AtSymlinkNoFollow, Libc.StatxIno, &status) == 0
                ? new FileIdentity(status.DeviceMajor, status.DeviceMinor, status.Inode)
                : null;
        }
    }
}
