using Mortise.Cli.Serve.Game;
using Xunit;

namespace Mortise.Tests.Cli.Game;

/// <summary>The game without a clock and a network: the same seed and wishes make the same world.</summary>
public sealed class WorldTests
{
    [Fact]
    public void The_same_wishes_make_the_same_world_and_others_make_another()
    {
        Assert.Equal(Play(seed: 7, wishes: 1), Play(seed: 7, wishes: 1));
        Assert.NotEqual(Play(seed: 7, wishes: 1), Play(seed: 8, wishes: 1));
        Assert.NotEqual(Play(seed: 7, wishes: 1), Play(seed: 7, wishes: 2));
    }

    [Fact]
    public void A_figure_goes_one_cell_a_step_and_stops_at_walls_and_at_others()
    {
        var world = new GameWorld(1);
        var ada = world.Enter("ada")!;
        var (x, y) = (ada.X, ada.Y);
        ada.Wish(Way.Left);
        ada.Wish(Way.Up);
        Assert.Equal((x, y), (ada.X, ada.Y));
        world.Step();
        Assert.Equal((Math.Max(0, x - 1), y), (ada.X, ada.Y));
        for (var i = 0; i < GameWorld.Width + GameWorld.Height; i++)
        {
            world.Step();
            ada.Wish(i < GameWorld.Height ? Way.Up : Way.Left);
        }

        world.Step();
        Assert.Equal((0, 0), (ada.X, ada.Y));
        var bob = world.Enter("bob")!;
        while ((bob.X, bob.Y) != (1, 0))
        {
            bob.Wish(bob.Y > 0 ? Way.Up : Way.Left);
            world.Step();
        }

        bob.Wish(Way.Left);
        ada.Wish(Way.Right);
        world.Step();
        Assert.Equal(((0, 0), (1, 0)), ((ada.X, ada.Y), (bob.X, bob.Y)));
    }

    [Fact]
    public void Only_the_next_eight_wishes_are_kept()
    {
        var world = new GameWorld(3);
        var ada = world.Enter("ada")!;
        for (var i = 0; i < 100; i++)
            ada.Wish(ada.X < GameWorld.Width / 2 ? Way.Right : Way.Left);
        var x = ada.X;
        for (var i = 0; i < 100; i++)
            world.Step();
        Assert.Equal(8, Math.Abs(ada.X - x));
    }

    [Fact]
    public void Coins_are_taken_and_there_are_always_as_many()
    {
        var text = Play(seed: 5, wishes: 9);
        var last = text.Split('\n')[^2];
        Assert.Equal(GameWorld.Coins, last.Split(' ')[2]["coins=".Length..].Split(';').Distinct().Count());
        Assert.Contains(last.Split(' ')[3].Split(';'), p => int.Parse(p.Split(':')[2]) > 0);
    }

    [Fact]
    public void A_full_field_lets_nobody_in()
    {
        var world = new GameWorld(2);
        for (var i = 0; i < GameWorld.FiguresMax; i++)
            Assert.NotNull(world.Enter($"p{i}"));
        Assert.Null(world.Enter("late"));
        world.Leave(world.Figures[0]);
        Assert.NotNull(world.Enter("late"));
        Assert.Equal(GameWorld.FiguresMax, world.Figures.Select(f => (f.X, f.Y)).Distinct().Count());
    }

    private static string Play(int seed, int wishes)
    {
        var (world, random, text) = (new GameWorld(seed), new Random(wishes), new System.Text.StringBuilder());
        Figure[] figures = [world.Enter("ada")!, world.Enter("bob")!, world.Enter("cy")!];
        for (var tick = 1; tick <= 500; tick++)
        {
            foreach (var figure in figures)
                figure.Wish((Way)random.Next(4));
            world.Step();
            text.Append(world.Describe(tick)).Append('\n');
        }

        return text.ToString();
    }
}
