using System.Globalization;
using Mortise.Peers.Running;

namespace Mortise.Peers.Scaling;

/// <summary>
/// Idle connections from native/hold.c, in as many processes as the descriptor limit of one (20,000) asks for, each
/// from addresses of its own, since an address has 28,000 ports.
/// </summary>
internal sealed class Holders : IDisposable
{
    private const int PerProcess = 18_000, AddressesPerProcess = 2;

    private readonly List<Child> _children;

    private Holders(List<Child> children) => _children = children;

    /// <summary>Returns when the kernel has connected all; the server may not have accepted all yet.</summary>
    /// <exception cref="BenchException">A connection failed.</exception>
    public static async Task<Holders> ConnectAsync(NativePrograms programs, int port, int connections)
    {
        var holders = new Holders([]);
        try
        {
            for (var left = connections; left > 0; left -= PerProcess)
            {
                int[] numbers = [port, Math.Min(left, PerProcess), 1 + holders._children.Count * AddressesPerProcess];
                holders._children.Add(Child.Start(null, null, programs.PathOf("hold"),
                    numbers.Select(n => n.ToString(CultureInfo.InvariantCulture))));
            }

            await Task.WhenAll(holders._children.Select(child => child.ReadAsync()));
            return holders;
        }
        catch
        {
            holders.Dispose();
            throw;
        }
    }

    /// <summary>Sends 64 bytes on every connection; how many came back as they were sent, and how many not.</summary>
    public async Task<(int Right, int Wrong)> EchoAsync()
    {
        var answers = await Task.WhenAll(_children.Select(child => child.AskAsync("echo")));
        var numbers = answers.Select(answer => answer.Split(' ')).ToList();
        return (numbers.Sum(n => int.Parse(n[1], CultureInfo.InvariantCulture)),
            numbers.Sum(n => int.Parse(n[2], CultureInfo.InvariantCulture)));
    }

    public Task CloseAsync() => Task.WhenAll(_children.Select(child => child.AskAsync("close")));

    public void Dispose()
    {
        foreach (var child in _children)
            child.Dispose();
    }
}
