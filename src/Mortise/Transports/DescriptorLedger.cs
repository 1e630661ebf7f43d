namespace Mortise.Transports;

/// <summary>
/// The process's file descriptors as a budget. A .NET process that runs out of them is aborted by its runtime, so
/// every accept and connect claims one here first and the last few stay free.
/// </summary>
internal sealed class DescriptorLedger : IConnectionOwner
{
    private const int ScarceBelow = 256;

    private readonly SemaphoreSlim _free;

    public DescriptorLedger(int limit, int inUse)
    {
        Limit = limit;
        Capacity = Math.Max(1, limit - inUse - Math.Max(64, limit / 50));
        _free = new SemaphoreSlim(Capacity, Capacity);
    }

    /// <summary>The ledger of this process, read when the first socket is made.</summary>
    public static DescriptorLedger Process { get; } = ReadProcess();

    /// <summary>RLIMIT_NOFILE, soft limit.</summary>
    public int Limit { get; }

    /// <summary>Sockets that may be open at once: the limit, less what is in use, less max(64, 2 %).</summary>
    public int Capacity { get; }

    public int Claimed => Capacity - _free.CurrentCount;

    /// <summary>
    /// Fewer than 256 are left, or it never had more: who would take many at a time takes one, so that others get some.
    /// </summary>
    public bool IsScarce => _free.CurrentCount < ScarceBelow;

    public bool TryClaim() => _free.Wait(0);

    public Task ClaimAsync(CancellationToken cancellationToken) => _free.WaitAsync(cancellationToken);

    public void Release() => _free.Release();

    void IConnectionOwner.Released() => Release();

    /// <summary>A client's own code blocked; it has no log of ours to tell.</summary>
    void IConnectionOwner.HomeBlocked(Connection connection, bool certain, string home, int others, TimeSpan elapsed)
    {
    }

    private static DescriptorLedger ReadProcess()
    {
        const int Plenty = 1 << 20;
        if (!OperatingSystem.IsLinux())
            return new DescriptorLedger(Plenty, 0);
        try
        {
            // "Max open files            20000                20000                files"
            const string Title = "Max open files";
            var line = File.ReadLines("/proc/self/limits").First(l => l.StartsWith(Title, StringComparison.Ordinal));
            var soft = line[Title.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
            var limit = int.TryParse(soft, out var number) ? number : Plenty;
            return new DescriptorLedger(limit, Directory.GetFileSystemEntries("/proc/self/fd").Length);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidOperationException)
        {
            // Without /proc (a very bare container) the POSIX minimum for the soft limit is the safe guess.
            return new DescriptorLedger(1024, 64);
        }
    }
}
