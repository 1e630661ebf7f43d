using System.Globalization;

namespace Mortise.Peers;

/// <summary>Connections × bytes × messages on the way per connection.</summary>
internal sealed record LoadShape(int Connections, int Bytes, int InFlight)
{
    /// <summary>The two shapes the requirement names; the others are for information.</summary>
    public bool IsRequired => this is { Connections: 64, Bytes: 64 or 16 * 1024, InFlight: 1 };

    public static LoadShape Parse(string text) =>
        text.Split('x') is [var connections, var bytes, var inFlight]
            ? new(int.Parse(connections), int.Parse(bytes), int.Parse(inFlight))
            : throw new FormatException($"'{text}' is no load; write CONNECTIONSxBYTESxINFLIGHT, e.g. 64x64x1");

    public override string ToString() => $"{Connections}x{Bytes}x{InFlight}";
}

internal sealed class BenchOptions
{
    public const string Usage = """
        bench [--quick] [--assert] [--rounds N] [--seconds S] [--warm S] [--cpu N] [--seed N]
              [--only SERVER,…] [--loads CONNECTIONSxBYTESxINFLIGHT,…]
          --quick    one short round of the two required loads; writes no file
          --assert   exit 1 when Managed needs more than 1.10 times the CPU of 'socket', or not less than 'kestrel'
        """;

    public int Rounds { get; private set; } = 5;

    public double MeasureSeconds { get; private set; } = 1.0;

    public double WarmSeconds { get; private set; } = 1.5;

    /// <summary>Server and load share it, so that the distance of two processors is no part of the result.</summary>
    public int Cpu { get; private set; } = Environment.ProcessorCount - 1;

    public int Seed { get; private set; } = 20261121;

    public bool Assert { get; private set; }

    public bool WritesFile { get; private set; } = true;

    public string[] Servers { get; private set; } = EchoServers.Kinds;

    public LoadShape[] Loads { get; private set; } =
        [new(64, 64, 1), new(64, 16 * 1024, 1), new(1000, 64, 1), new(64, 64, 16)];

    /// <exception cref="FormatException">An unknown option, or a value that is none.</exception>
    public static BenchOptions Parse(string[] args)
    {
        var options = new BenchOptions();
        for (var i = 0; i < args.Length; i++)
        {
            var name = args[i];
            string Value() => ++i < args.Length ? args[i] : throw new FormatException($"{name} needs a value");
            options.Set(name, Value);
        }

        return options;
    }

    private void Set(string name, Func<string> value)
    {
        switch (name)
        {
            case "--quick":
                (Rounds, MeasureSeconds, WarmSeconds, WritesFile) = (1, 0.7, 1.0, false);
                Loads = [.. Loads.Where(l => l.IsRequired)];
                break;
            case "--assert": Assert = true; break;
            case "--rounds": Rounds = int.Parse(value()); break;
            case "--seconds": MeasureSeconds = double.Parse(value(), CultureInfo.InvariantCulture); break;
            case "--warm": WarmSeconds = double.Parse(value(), CultureInfo.InvariantCulture); break;
            case "--cpu": Cpu = int.Parse(value()); break;
            case "--seed": Seed = int.Parse(value()); break;
            case "--only": (Servers, WritesFile) = (value().Split(','), false); break;
            case "--loads": (Loads, WritesFile) = ([.. value().Split(',').Select(LoadShape.Parse)], false); break;
            default: throw new FormatException($"unknown option {name}");
        }
    }
}
