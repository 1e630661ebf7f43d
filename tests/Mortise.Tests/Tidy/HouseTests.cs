using Xunit;
using Xunit.Sdk;

namespace Mortise.Tests.Tidy;

/// <summary>The rooms are those of ARCHITECTURE.md's table, and each uses only what its row allows.</summary>
public sealed class HouseTests
{
    private static readonly Dictionary<string, string[]> Table = ReadTable(
        File.ReadAllText(Path.Combine(Repository.Root, "ARCHITECTURE.md")));

    [Fact]
    public void Architecture_names_exactly_the_rooms_that_exist() =>
        Assert.Equal(House.AsBuilt.Rooms, Table.Keys.Order(StringComparer.Ordinal));

    [Fact]
    public void Every_room_uses_only_what_its_row_allows()
    {
        var findings = Forbidden(House.AsBuilt.Uses, Table).ToList();
        Assert.True(findings.Count == 0, string.Join("\n", findings));
    }

    [Fact]
    public void No_two_rooms_use_each_other() => Assert.Empty(House.Circles(House.AsBuilt.Uses));

    [Fact]
    public void The_errors_the_system_calls_and_the_seam_of_layers_are_the_only_leaves() =>
        Assert.Equal(["Errors", "Transports/Kernel", "Transports/Layers"],
            House.AsBuilt.Rooms.Except(House.AsBuilt.Uses.Select(u => u.User)));

    [Fact]
    public void A_use_that_no_row_allows_is_found()
    {
        var table = ReadTable("""
            | Room | uses | is |
            |---|---|---|
            | `Errors` | nothing | words |
            | `Framing` | `Errors` | frames, unlike `Server` |
            | `Server` | `Errors` | sockets |
            """);
        Use[] uses = [new("Framing", "Errors", "a → b"), new("Server", "Framing", "Listener → Frame")];
        Assert.Equal(["Server uses Framing (Listener → Frame); its row does not allow it"], Forbidden(uses, table));
    }

    [Fact]
    public void A_circle_is_found_and_told_once() => Assert.Equal(["A → B → C → A"],
        House.Circles([new("B", "C", ""), new("C", "A", ""), new("A", "B", ""), new("A", "D", "")]));

    [Fact]
    public void A_use_inside_a_method_body_is_seen()
    {
        // Engine mentions ManagedTransport only inside a static constructor and a method: no signature names it.
        Assert.Contains(House.AsBuilt.Uses, u => u.User == House.Facades && u.Used == "Transports/Managed");
    }

    private static IEnumerable<string> Forbidden(IEnumerable<Use> uses, Dictionary<string, string[]> table) =>
        from use in uses
        where !table.GetValueOrDefault(use.User, []).Contains(use.Used)
        select $"{use.User} uses {use.Used} ({use.Because}); its row does not allow it";

    /// <summary>The rows `| `Room` | `Other`, `Another` | … |` of the page, wherever they stand.</summary>
    private static Dictionary<string, string[]> ReadTable(string markdown)
    {
        var rows = from line in markdown.Split('\n')
                   let cells = line.Split('|', StringSplitOptions.TrimEntries)
                   where cells.Length > 3 && cells[1].StartsWith('`') && cells[1].EndsWith('`')
                   select (room: cells[1].Trim('`'), uses: cells[2]);
        return rows.ToDictionary(r => r.room, r => r.uses == "nothing" ? [] : r.uses.Split(", ")
            .Select(u => u is ['`', .., '`'] ? u.Trim('`') : throw new XunitException($"{r.room}: what is '{u}'?"))
            .ToArray());
    }
}
