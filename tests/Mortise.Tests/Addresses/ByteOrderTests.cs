using System.Buffers.Binary;
using Xunit;

namespace Mortise.Tests.Addresses;

public sealed class ByteOrderTests
{
    [Fact]
    public void Every_port_survives_the_way_to_the_network_and_back()
    {
        for (var port = 0; port <= ushort.MaxValue; port++)
        {
            var net = ByteOrder.HostToNet((ushort)port);
            Assert.Equal(port, ByteOrder.NetToHost(net));
            Assert.Equal(port, BinaryPrimitives.ReadUInt16BigEndian(BitConverter.GetBytes(net)));
        }
        foreach (var value in (uint[])[0, 1, 0xff, 0x12345678, 0x80000000, uint.MaxValue])
        {
            var net = ByteOrder.HostToNet(value);
            Assert.Equal(value, ByteOrder.NetToHost(net));
            Assert.Equal(value, BinaryPrimitives.ReadUInt32BigEndian(BitConverter.GetBytes(net)));
            var wide = (ulong)value << 32 | 7;
            Assert.Equal(wide, ByteOrder.NetToHost(ByteOrder.HostToNet(wide)));
            Assert.Equal(wide, BinaryPrimitives.ReadUInt64BigEndian(BitConverter.GetBytes(ByteOrder.HostToNet(wide))));
        }
        Row.Observed("B01", "NetToHost(HostToNet(x)) == x for all 65,536 ushorts and edge uints and ulongs");
    }

    [Fact]
    public void A_forgotten_htons_is_shown_as_the_port_it_binds()
    {
        var view = ByteOrder.Describe((ushort)9003);
        const string line =
            "host 0x232B  LE: 2B 23  BE(network): 23 2B  if htons is forgotten you bind 11043";
        Assert.Equal(line, view.ToString());
        Assert.Equal(11043ul, view.Swapped);
        Row.Observed("B02", view.ToString());
        Row.Observed("Z01", $"9003 unswapped would be {view.Swapped}; Endpoint keeps {Endpoint.Parse(":9003").Port}");
    }

    [Fact]
    public void Big_endian_memory_has_the_high_byte_at_the_low_address()
    {
        var view = ByteOrder.Describe(0x12345678u);
        Assert.Equal("12345678", Convert.ToHexString(view.BigEndian.Span));
        Assert.Equal("78563412", Convert.ToHexString(view.LittleEndian.Span));
        Assert.Equal(0x78563412ul, view.Swapped);
        Assert.Equal(0x0807060504030201ul, ByteOrder.Describe(0x0102030405060708ul).Swapped);
        Row.Observed("B05", view.ToString());
    }
}
