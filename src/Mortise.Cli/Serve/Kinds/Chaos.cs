using System.Globalization;

namespace Mortise.Cli.Serve.Kinds;

/// <summary><c>--chaos loss=10%</c>: a bad network on request, for datagrams; a seed makes it replayable.</summary>
internal sealed class Chaos(double loss, int seed)
{
    private const string Usage = "write loss=10% or loss=10%,seed=7";

    private readonly Lock _gate = new();
    private readonly Random _random = new(seed);

    /// <summary>Datagrams lost so far.</summary>
    public long Lost { get; private set; }

    /// <exception cref="InvalidSettingException">The text is no such thing.</exception>
    public static Chaos Parse(string text)
    {
        var (loss, seed) = (double.NaN, Random.Shared.Next());
        foreach (var part in text.Split(','))
        {
            var valid = part.Split('=') switch
            {
                ["loss", [.. var percent, '%']] => double.TryParse(percent, NumberStyles.AllowDecimalPoint,
                    CultureInfo.InvariantCulture, out loss) && loss <= 100,
                ["seed", var number] => int.TryParse(number, CultureInfo.InvariantCulture, out seed),
                _ => false,
            };
            if (!valid)
                throw new InvalidSettingException("serve", $"--chaos {text}", $"'{part}' is not understood", Usage);
        }

        return double.IsNaN(loss)
            ? throw new InvalidSettingException("serve", $"--chaos {text}", "it does not say what goes wrong", Usage)
            : new Chaos(loss / 100, seed);
    }

    /// <summary>True where this datagram is to be lost.</summary>
    public bool Loses()
    {
        lock (_gate)
        {
            var lost = _random.NextDouble() < loss;
            Lost += lost ? 1 : 0;
            return lost;
        }
    }
}
