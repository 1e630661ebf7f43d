namespace Mortise;

/// <summary>What moves the bytes of TCP and Unix streams.</summary>
public enum EngineKind
{
    /// <summary>The best that this system offers: io_uring, else epoll, else <see cref="Managed"/>.</summary>
    Auto,
    /// <summary>Event loops over io_uring (<c>io_uring(7)</c>): Linux 6.1 or later, where it is permitted.</summary>
    IoUring,
    /// <summary>Event loops over <c>epoll(7)</c>: every Linux.</summary>
    Epoll,
    /// <summary>System.Net.Sockets: every system that .NET runs on.</summary>
    Managed,
}
