using System.Globalization;
using System.Text;

namespace Mortise.Tests.Tidy;

/// <summary>
/// Draws a house as SVG: the kernel below, the handler on top, a room as wide as its code is long, an arrow for every
/// use and the way of a byte through it all. Where a room stands is decided here; what is drawn comes from the assembly.
/// </summary>
internal sealed class HouseMap(House house, Func<string, int> linesOf)
{
    private const int Width = 1080;
    private const int RowHeight = 104;
    private const int BoxHeight = 54;
    private const int Gap = 26;

    // From the top. What is not named here (a room built later) gets the row of the rooms it stands beside.
    private static readonly string[][] Floors =
    [
        [House.Facades],
        ["Sessions"],
        ["Server", "Framing", "Client"],
        ["Transports/Memory", "Transports/Managed", "Transports/Linux", "Transports/Datagrams"],
        ["Transports/Pipes", "Transports"],
        ["Telemetry", "Addresses", "Addresses/Dns"],
        ["Errors"],
    ];

    private static readonly string[] WayOfAByte = ["Transports/Managed", "Framing", "Sessions", House.Facades];

    private readonly Dictionary<string, Box> _boxes = [];
    private readonly StringBuilder _svg = new();

    private sealed record Box(string Room, int Floor, double X, double Y, double Wide)
    {
        public double Middle => X + Wide / 2;
    }
