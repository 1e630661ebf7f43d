using System.Globalization;
using System.Text;

namespace Mortise.Tests.Tidy;

/// <summary>
/// Draws a house as SVG: the kernel below, the handler on top, a room as wide as its code is long, an arrow for every
/// use and the way of a byte through it all. Where a room stands is decided here; what is drawn is the assembly's.
/// </summary>
internal sealed class HouseMap(House house, Func<string, int> linesOf)
{
    private const double Left = 40, HouseWide = 730, CellarX = 880, CellarWide = 190;
    private const double Top = 150, FloorHigh = 112, BoxHigh = 58, Gap = 24;

    // From the top: what stands left of the way of a byte, on it, and right of it. A room that is not named here (built
    // later) gets the right side of the server's floor.
    private static readonly (string[] Before, string On, string[] After)[] Floors =
    [
        ([House.Facades], "Sessions", []),
        (["Server"], "Framing", ["Client"]),
        (["Transports/Linux"], "Transports", ["Transports/Datagrams"]),
        (["Transports/Managed"], "Transports/Loops", ["Transports/Memory"]),
        (["Transports/Epoll"], "Transports/Uring", ["Transports/Pipes"]),
        (["Transports/Sockets"], "Transports/Kernel", ["Transports/Proxy"]),
    ];

    // Rooms that everybody stands on: drawn beside the house, each reached by one coloured line.
    private static readonly string[] Cellar = ["Telemetry", "Addresses", "Addresses/Dns", "Errors"];

    private static readonly string[] WayOfAByte =
        [.. Floors.Select(floor => floor.On).Reverse()];

    private readonly Dictionary<string, Box> _boxes = [];
    private readonly StringBuilder _svg = new();

    private sealed record Box(double X, double Y, double Wide, int Floor)
    {
        public double Middle => X + Wide / 2;
        public double Bottom => Y + BoxHigh;
    }

    public string Draw()
    {
        PlaceFloors();
        PlaceCellar();
        var high = Top + Floors.Length * FloorHigh + 62;
        _svg.Append(Invariant($"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1140 {high}" role="img">"""));
        _svg.Append(Style);
        Text(Left, 38, "title", "The house of Mortise");
        Text(Left, 62, "note", "A room is as wide as its code is long. An arrow points from a room to one it uses,");
        Text(Left, 80, "note", "pale where a room in between uses it too. The orange way is that of a received byte.");
        Text(CellarX, 80, "note", "What every room may stand on");
        foreach (var use in house.Uses.OrderBy(use => !IsImplied(use)))
            DrawUse(use, IsImplied(use) ? "use implied" : "use");
        Bar(Top - 50, "your handler");
        Bar(high - 50, "kernel: sockets");
        DrawTheWay(high - 50);
        foreach (var room in house.Rooms)
            DrawRoom(room);
        return _svg.Append("</svg>\n").ToString();
    }

    private void PlaceFloors()
    {
        const double Middle = Left + HouseWide / 2;
        var named = Floors.SelectMany(floor => (string[])[.. floor.Before, floor.On, .. floor.After]);
        var homeless = house.Rooms.Except(named).Except(Cellar);
        for (var floor = 0; floor < Floors.Length; floor++)
        {
            var on = Floors[floor].On;
            _boxes[on] = new(Middle - Wide(on) / 2, Top + floor * FloorHigh, Wide(on), floor);
            var x = Middle - Wide(on) / 2 - Gap;
            foreach (var room in Floors[floor].Before.Intersect(house.Rooms).Reverse())
            {
                _boxes[room] = new(x - Wide(room), Top + floor * FloorHigh, Wide(room), floor);
                x -= Wide(room) + Gap;
            }

            x = Middle + Wide(on) / 2 + Gap;
            foreach (var room in Floors[floor].After.Concat(floor == 1 ? homeless : []).Intersect(house.Rooms))
            {
                _boxes[room] = new(x, Top + floor * FloorHigh, Wide(room), floor);
                x += Wide(room) + Gap;
            }
        }
    }

    private void PlaceCellar()
    {
        var rooms = Cellar.Intersect(house.Rooms).ToList();
        for (var i = 0; i < rooms.Count; i++)
            _boxes[rooms[i]] = new(CellarX, Top + 34 + i * FloorHigh * 1.12, CellarWide, -1);
    }

    private double Wide(string room) => 130 + Math.Min(160, linesOf(room) * 0.08);

    /// <summary>A room that is also used by a room in between: true, but no news to the eye.</summary>
    private bool IsImplied(Use use) => _boxes[use.Used].Floor >= 0 && house.Uses.Any(first =>
        first.User == use.User && first.Used != use.Used
        && house.Uses.Any(second => second.User == first.Used && second.Used == use.Used));

    private void DrawUse(Use use, string kind)
    {
        var (from, to) = (_boxes[use.User], _boxes[use.Used]);
        var data = $"data-use=\"{use.User} {use.Used}\"";
        if (from.Floor < 0) // inside the cellar: along its right side, or straight down to the neighbour
        {
            var near = to.Y - from.Y < FloorHigh * 1.2;
            var bend = near ? from.Middle : from.X + CellarWide + 34;
            Path($"{kind} c{CellarIndex(use.Used)}", data, near
                ? Invariant($"M{bend} {from.Bottom}V{to.Y - 3}")
                : Invariant($"M{from.X + CellarWide} {from.Y + 20}H{bend - 10}Q{bend} {from.Y + 20} {bend} {from.Y + 32
                    }V{to.Y + 18}Q{bend} {to.Y + 28} {bend - 10} {to.Y + 28}H{to.X + CellarWide + 3}"));
        }
        else if (to.Floor < 0) // a lane below the floor, then the line that leads to that room of the cellar
        {
            var index = CellarIndex(use.Used);
            var (x, lane, riser) = (from.X + 16 + 12 * index, from.Bottom + 10 + 7 * index, 800 + 16 * index);
            Path($"{kind} c{index}", data, Invariant(
                $"M{x} {from.Bottom}V{lane}H{riser}V{to.Y + BoxHigh / 2}H{to.X - 3}"));
        }
        else if (from.Floor == to.Floor)
        {
            var rightward = from.X < to.X;
            Path(kind, data, Invariant($"M{(rightward ? from.X + from.Wide : from.X)} {from.Y + BoxHigh / 2}H{
                (rightward ? to.X - 3 : to.X + to.Wide + 3)}"));
        }
        else
        {
            var down = from.Floor < to.Floor;
            var (y1, y2) = down ? (from.Bottom, to.Y - 3) : (from.Y, to.Bottom + 3);
            // Fan out: an arrow leaves and arrives on the side that looks at the other room.
            var x1 = from.Middle + Math.Clamp((to.Middle - from.Middle) * 0.3, -from.Wide * 0.35, from.Wide * 0.35);
            var x2 = to.Middle + Math.Clamp((from.Middle - to.Middle) * 0.3, -to.Wide * 0.35, to.Wide * 0.35);
            var half = (y2 - y1) / 2;
            Path(kind, data, Invariant($"M{x1} {y1}C{x1} {y1 + half} {x2} {y2 - half} {x2} {y2}"));
        }
    }

    private void DrawTheWay(double kernelY)
    {
        var (x, y) = (_boxes[WayOfAByte[0]].Middle, kernelY);
        foreach (var box in WayOfAByte.Select(room => _boxes[room]))
        {
            Step(x, y, box.Middle, box.Bottom + 5);
            (x, y) = (box.Middle, box.Y);
        }
        Step(x, y, x, Top - 50 + 36);
    }

    private void Step(double x1, double y1, double x2, double y2) => Path("way", "", Invariant(
        $"M{x1} {y1}C{x1} {(y1 + y2) / 2} {x2} {(y1 + y2) / 2} {x2} {y2}"));

    private void DrawRoom(string room)
    {
        var box = _boxes[room];
        var kind = WayOfAByte.Contains(room) ? "room passed" : box.Floor < 0 ? $"room c{CellarIndex(room)}" : "room";
        var name = room == House.Facades ? "Front doors" : room[(room.LastIndexOf('/') + 1)..];
        var lines = linesOf(room);
        _svg.Append(Invariant($"""<rect class="{kind}" data-room="{room}" x="{box.X:0.#}" y="{box.Y:0.#}" """));
        _svg.Append(Invariant($"""width="{box.Wide:0.#}" height="{BoxHigh}" rx="7"/>""")).Append('\n');
        Text(box.Middle, box.Y + 26, "name", name);
        Text(box.Middle, box.Y + 44, "size", Invariant($"{(room.Contains('/') ? room[..room.IndexOf('/')] + " · " : "")
            }{lines} lines"));
    }

    private void Bar(double y, string text)
    {
        _svg.Append(Invariant($"""<rect class="bar" x="{Left}" y="{y}" width="{HouseWide}" height="31" rx="15"/>"""));
        Text(Left + 80, y + 20.5, "size", text);
    }

    private void Text(double x, double y, string kind, string text) =>
        _svg.Append(Invariant($"""<text class="{kind}" x="{x:0.#}" y="{y:0.#}">{text}</text>""")).Append('\n');

    private void Path(string kind, string data, string d) =>
        _svg.Append($"""<path class="{kind}" {data} d="{d}"/>""").Append('\n');

    private static int CellarIndex(string room) => Array.IndexOf(Cellar, room);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private const string Style = """
        <title>The rooms of Mortise and who uses whom</title>
        <defs>
          <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0.5 8 4 0 7.5z" fill="context-stroke"/></marker>
          <marker id="head" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="3.2" markerHeight="3.2" orient="auto">
            <path d="M0 0 8 4 0 8z" fill="context-stroke"/></marker>
        </defs>
        <style>
          svg { background: #fff; font-family: ui-sans-serif, system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
          .title { font-size: 22px; font-weight: 650; fill: #1f2328 }
          .note, .size { font-size: 12.5px; fill: #59636e }
          .name { font-size: 15px; font-weight: 600; fill: #1f2328 }
          .name, .size { text-anchor: middle }
          .room { fill: #f6f8fa; stroke: #9aa4af; stroke-width: 1.2 }
          .passed { stroke: #e8710a; stroke-width: 2.2 }
          .bar { fill: #eaeef2 }
          .use { fill: none; stroke: #9aa4af; stroke-width: 1.2; marker-end: url(#tip) }
          .implied { stroke-opacity: .3 }
          .way { fill: none; stroke: #e8710a; stroke-width: 5; marker-end: url(#head) }
          .c0 { stroke: #2da44e } .c1 { stroke: #2f7ad6 } .c2 { stroke: #5d6fb8 } .c3 { stroke: #c2455e }
          @media (prefers-color-scheme: dark) {
            svg { background: #0d1117 }
            .title, .name { fill: #e6edf3 }
            .note, .size { fill: #9198a1 }
            .room { fill: #161b22; stroke: #59636e }
            .bar { fill: #21262d }
            .use { stroke: #6e7681 }
            .passed, .way { stroke: #f0883e }
            .c0 { stroke: #3fb950 } .c1 { stroke: #58a6ff } .c2 { stroke: #8b9be0 } .c3 { stroke: #f47067 }
          }
        </style>

        """;
}
