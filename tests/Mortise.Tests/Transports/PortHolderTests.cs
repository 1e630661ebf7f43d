using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>Who is named as the holder of a port: only who is in the way of that address.</summary>
public sealed class PortHolderTests
{
    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1", true)]
    [InlineData("127.0.0.1", "127.0.0.2", false)]
    [InlineData("0.0.0.0", "127.0.0.2", true)]
    [InlineData("::", "127.0.0.2", true)]
    [InlineData("127.0.0.1", "*", true)]
    [InlineData("127.0.0.1", "0.0.0.0", true)]
    [InlineData("::1", "[::1]", true)]
    [InlineData("::1", "127.0.0.1", false)]
    [InlineData("::ffff:127.0.0.1", "127.0.0.1", true)]
    public void Only_who_listens_on_the_address_or_on_all_holds_its_port(string held, string asked, bool inTheWay)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/proc/net");
        var address = IPAddress.Parse(held);
        using var listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        if (address.AddressFamily == AddressFamily.InterNetworkV6)
            listener.DualMode = true;
        listener.Bind(new IPEndPoint(address, 0));
        listener.Listen();
        var port = ((IPEndPoint)listener.LocalEndPoint!).Port;
        var holder = PortHolder.Of(Endpoint.Parse($"tcp://{asked}:{port}"));
        // Another program may listen there by chance, on the same port of the other address; then it is not us.
        Assert.Equal(inTheWay, holder?.ProcessId == Environment.ProcessId);
        if (inTheWay)
            Assert.Equal($"held by pid {Environment.ProcessId} ({holder!.ProcessName})", holder.ToString());
    }
}
