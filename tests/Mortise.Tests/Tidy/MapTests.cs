using System.Text.RegularExpressions;
using System.Xml.Linq;
using Xunit;

namespace Mortise.Tests.Tidy;

/// <summary>docs/house.svg shows the rooms and uses of this build; `./build.sh map` draws it anew.</summary>
public sealed partial class MapTests
{
    private static readonly string MapFile = Path.Combine(Repository.Root, "docs", "house.svg");

    [Fact]
    public void The_map_in_docs_shows_the_house_as_built()
    {
        Assert.Empty(House.Circles(House.AsBuilt.Uses));
        var drawn = Draw();
        if (Environment.GetEnvironmentVariable("MORTISE_ACCEPT_MAP") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(MapFile)!);
            File.WriteAllText(MapFile, drawn);
        }
        // Rooms and arrows must be those of the build; sizes may lag behind until the next drawing.
        Assert.True(Shown(drawn).SequenceEqual(Shown(File.ReadAllText(MapFile))), "run ./build.sh map");
    }

    [Fact]
    public void The_map_is_well_formed_and_the_same_every_time()
    {
        var drawn = Draw();
        Assert.Equal("svg", XDocument.Parse(drawn).Root!.Name.LocalName);
        Assert.Equal(drawn, Draw());
        Assert.Equal(House.AsBuilt.Rooms.Count + House.AsBuilt.Uses.Count, Shown(drawn).Count());
    }

    private static string Draw()
    {
        var lines = Repository.Files(".cs").Where(f => Repository.RoomOf(f.Path) is not null)
            .GroupBy(f => Repository.RoomOf(f.Path)!, f => f.Lines.Length)
            .ToDictionary(room => room.Key.Length == 0 ? House.Facades : room.Key, room => room.Sum());
        return new HouseMap(House.AsBuilt, room => lines[room]).Draw();
    }

    private static IEnumerable<string> Shown(string svg) => Marks().Matches(svg).Select(m => m.Value).Order();

    [GeneratedRegex("data-(room|use)=\"[^\"]*\"")]
    private static partial Regex Marks();
}
