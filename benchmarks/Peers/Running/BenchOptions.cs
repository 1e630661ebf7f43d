using System.Globalization;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Running;

/// <summary>What benches and soaks take from the command line; each ignores what does not concern it.</summary>
internal sealed class BenchOptions
{
    public const string Usage = """
        bench peers [--quick] [--rounds N] [--seconds S] [--servers A,B] [--loads L,L] [--cpu N] [--load-cpu N]
        bench scale [--quick] [--connections N] [--idle-seconds S] [--rounds N] [--servers A,B] [--cpu N] [--only-idle]
        bench churn [--quick] [--connections N] [--servers A,B] [--seed N]
        bench broadcast [--quick] [--rounds N] [--seconds S] [--servers A,B] [--loads L,L] [--cpu N]
        bench micro [BenchmarkDotNet's own arguments]
          --quick      proves that everything works; its numbers mean nothing and no file is written
          --rounds     pairs with the raw C server for each server and load (15)
          --other-rounds  the same for servers that no target is set for, where the time is short (as --rounds)
          --seconds    measured of each of the two servers of a pair (0.6)
          --loads      CONNECTIONSxBYTESxINFLIGHT; 'stream' in place of INFLIGHT keeps BYTES on the way all the time
                       for broadcast MEMBERSxBYTESxLINES, lines said at once
          --no-latency leaves out the latency at half of saturation; --only-latency leaves out all else
          --only-idle  memory of idle connections and nothing else; --servers may name a -bare one
          --cpu        the one that server and load share; --load-cpu: where the load of the latency runs
          --out        folder for the table and the raw data; a choice of servers or loads is only written with it
        """;

    public const int UsualSeed = 20261121;

    public bool Quick { get; private set; }

    public int? Rounds { get; private set; }

    public int? OtherRounds { get; private set; }

    public double? Seconds { get; private set; }

    public int? Connections { get; private set; }

    public double? IdleSeconds { get; private set; }

    /// <summary>How long a soak waits or works.</summary>
    public double? Minutes { get; private set; }

    /// <summary>The one engine that a soak runs on.</summary>
    public string? Engine { get; private set; }

    public Contestant[]? Servers { get; private set; }

    public LoadShape[]? Loads { get; private set; }

    public bool Latency { get; private set; } = true;

    public bool Ratios { get; private set; } = true;

    public bool OnlyIdle { get; private set; }

    /// <summary>Server and load share it, so that the distance of two processors is no part of the result.</summary>
    public int Cpu { get; private set; } = Environment.ProcessorCount - 1;

    /// <summary>Paced load runs here: it must be able to send on time while the server works.</summary>
    public int LoadCpu => _loadCpu ?? (Cpu + Environment.ProcessorCount - 1) % Environment.ProcessorCount;

    public int Seed { get; private set; } = UsualSeed;

    /// <summary>Where the results are written; null when they are not.</summary>
    public string? Folder => _folder
        ?? (Quick || Servers is not null || Loads is not null || !Latency || !Ratios || OnlyIdle
            ? null : _usualFolder);

    private readonly string _usualFolder;
    private string? _folder;
    private int? _loadCpu;

    private BenchOptions(string usualFolder) => _usualFolder = usualFolder;

    /// <param name="args">Without the name of the bench.</param>
    /// <param name="usualFolder">Where results go unless the options say otherwise; null for the benches'.</param>
    /// <exception cref="FormatException">An unknown option, or a value that is none.</exception>
    public static BenchOptions Parse(string[] args, string? usualFolder = null)
    {
        var options = new BenchOptions(usualFolder ?? Machine.ResultsFolder);
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
            case "--quick": Quick = true; break;
            case "--no-latency": Latency = false; break;
            case "--only-latency": Ratios = false; break;
            case "--only-idle": OnlyIdle = true; break;
            case "--rounds": Rounds = int.Parse(value()); break;
            case "--other-rounds": OtherRounds = int.Parse(value()); break;
            case "--seconds": Seconds = double.Parse(value(), CultureInfo.InvariantCulture); break;
            case "--connections": Connections = int.Parse(value()); break;
            case "--idle-seconds": IdleSeconds = double.Parse(value(), CultureInfo.InvariantCulture); break;
            case "--minutes": Minutes = double.Parse(value(), CultureInfo.InvariantCulture); break;
            case "--engine": Engine = Contestant.OnEngine(value()).Engine; break;
            case "--cpu": Cpu = int.Parse(value()); break;
            case "--load-cpu": _loadCpu = int.Parse(value()); break;
            case "--seed": Seed = int.Parse(value()); break;
            case "--out": _folder = value(); break;
            case "--servers": Servers = [.. value().Split(',').Select(Contestant.Named)]; break;
            case "--loads": Loads = [.. value().Split(',').Select(LoadShape.Parse)]; break;
            default: throw new FormatException($"unknown option {name}");
        }
    }
}

/// <summary>Connections × bytes × messages on the way per connection.</summary>
internal sealed record LoadShape(int Connections, int Bytes, int InFlight, bool IsStream = false)
{
    private const int StreamChunkBytes = 64 * 1024;

    public static readonly LoadShape[] All =
    [
        new(1, 64, 1), new(64, 64, 1), new(1000, 64, 1), new(64, 64, 16), new(64, 16 * 1024, 1),
        new(16, 1024 * 1024, 1, IsStream: true),
    ];

    /// <summary>Bytes of what the load generator calls a message: a stream is many pieces, of which some are on the
    /// way at any time.</summary>
    public int ChunkBytes => IsStream ? Math.Min(Bytes, StreamChunkBytes) : Bytes;

    public int ChunksOnTheWay => IsStream ? Bytes / ChunkBytes : InFlight;

    /// <summary>The load generator's messages in one of ours.</summary>
    public int ChunksPerMessage => Bytes / ChunkBytes;

    public static LoadShape Parse(string text) =>
        text.Split('x') is [var connections, var bytes, var inFlight]
            ? new(int.Parse(connections), int.Parse(bytes), inFlight == "stream" ? 1 : int.Parse(inFlight),
                inFlight == "stream")
            : throw new FormatException($"'{text}' is no load; write CONNECTIONSxBYTESxINFLIGHT, e.g. 64x64x1");

    public override string ToString() => $"{Connections}x{Bytes}x{(IsStream ? "stream" : $"{InFlight}")}";
}
