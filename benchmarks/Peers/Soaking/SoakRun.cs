using System.Globalization;
using Mortise.Peers.Running;

namespace Mortise.Peers.Soaking;

/// <summary>One thing that was measured.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Value">In <paramref name="Unit"/>.</param>
/// <param name="Unit">Empty for counts and ratios.</param>
/// <param name="Target">What it must be; empty where it is only told.</param>
/// <param name="IsReached">Null where it is only told: there is no target, or the run was too short to judge.</param>
internal sealed record Figure(string Name, double Value, string Unit, string Target, bool? IsReached)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Name}: {Value:0.##}{(Unit.Length > 0 ? " " + Unit : "")}{(Target.Length > 0 ? $" ({Target})" : "")}");
}

/// <summary>One soak on one engine: what it may use, and what it found.</summary>
internal sealed class SoakRun(string soak, string kind, string engine, BenchOptions options, NativePrograms programs)
{
    private readonly List<Figure> _figures = [];

    /// <summary>The contestant's name: which server is started.</summary>
    public string Kind => kind;

    public string Engine => engine;

    public NativePrograms Programs => programs;

    public int Seed => options.Seed;

    /// <summary>Proves that the soak works. Sizes are small, and what only quiet time can judge is told.</summary>
    public bool IsQuick => options.Quick;

    public IReadOnlyList<Figure> Figures => _figures;

    /// <summary>What the command line says, else the usual, else the little that shows that it works.</summary>
    public int Connections(int usual, int quick) => options.Connections ?? (IsQuick ? quick : usual);

    /// <summary>As <see cref="Connections"/>.</summary>
    public TimeSpan Time(TimeSpan usual, TimeSpan quick) =>
        options.Minutes is { } minutes ? TimeSpan.FromMinutes(minutes) : IsQuick ? quick : usual;

    /// <summary>Counts of what must not be: none at all.</summary>
    public void None(string name, double value) => AtMost(name, value, 0);

    public void AtMost(string name, double value, double max, string unit = "", bool isJudged = true) =>
        Add(name, value, unit, $"at most {max}", isJudged ? value <= max : null);

    public void Below(string name, double value, double limit, string unit, bool isJudged) =>
        Add(name, value, unit, $"below {limit}", isJudged ? value < limit : null);

    public void AtLeast(string name, double value, double min, string unit = "", bool isJudged = true) =>
        Add(name, value, unit, $"at least {min}", isJudged ? value >= min : null);

    public void Tell(string name, double value, string unit = "") => Add(name, value, unit, "", null);

    private void Add(string name, double value, string unit, string target, bool? isReached)
    {
        var figure = new Figure(name, value, unit, FormattableString.Invariant($"{target}"), isReached);
        _figures.Add(figure);
        var verdict = isReached switch { true => " ok", false => " FAILED", _ => "" };
        Console.WriteLine($"{soak} {engine}: {figure}{verdict}");
    }
}
