using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Api;

/// <summary>What is public is a promise: every change of it shows in a file that is reviewed.</summary>
public sealed class PublicApiTests
{
    private static readonly string Accepted = Path.Combine(Repository.Root, "tests/Mortise.Tests/Api/PublicApi.txt");

    [Fact]
    public void The_public_surface_is_the_accepted_one()
    {
        var actual = PublicSurface.Of(typeof(SocketServer).Assembly);
        if (Environment.GetEnvironmentVariable("MORTISE_ACCEPT_API") == "1")
            File.WriteAllText(Accepted, actual);
        var difference = Difference(File.Exists(Accepted) ? File.ReadAllText(Accepted) : "", actual);
        Assert.True(difference.Length == 0, "the public API changed (- accepted, + now):\n" + difference
            + "\nmeant so? MORTISE_ACCEPT_API=1 ./build.sh test -class Mortise.Tests.Api.PublicApiTests");
    }

    [Fact]
    public void Every_public_type_is_in_the_one_namespace() => Assert.All(
        typeof(SocketServer).Assembly.GetExportedTypes(), type => Assert.Equal("Mortise", type.Namespace));

    [Fact]
    public void A_changed_member_shows_with_the_type_it_belongs_to() => Assert.Equal(
        "- Mortise.A:    int Two()\n+ Mortise.A:    long Two()",
        Difference("class Mortise.A\n    int One()\n    int Two()\n",
            "class Mortise.A\n    int One()\n    long Two()\n"));

    private static string Difference(string accepted, string actual)
    {
        var (before, after) = (Named(accepted), Named(actual));
        return string.Join('\n', before.Except(after).Select(l => "- " + l)
            .Concat(after.Except(before).Select(l => "+ " + l)));
    }

    // A member is told together with its type: `Dispose()` alone says nothing, and sets need unequal lines.
    private static List<string> Named(string surface)
    {
        var (type, lines) = ("", new List<string>());
        foreach (var line in surface.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (!line.StartsWith(' '))
                type = line.Split(' ').First(word => word.Contains('.'));
            lines.Add(line.StartsWith(' ') ? $"{type}:{line}" : line);
        }
        return lines;
    }
}
