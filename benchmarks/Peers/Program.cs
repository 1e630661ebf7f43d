using Mortise.Peers.Broadcasting;
using Mortise.Peers.Churning;
using Mortise.Peers.Comparing;
using Mortise.Peers.Returning;
using Mortise.Peers.Running;
using Mortise.Peers.Scaling;
using Mortise.Peers.Servers;
using Mortise.Peers.Soaking;
using Mortise.Peers.Stampeding;

try
{
    return args switch
    {
        ["server", var kind, .. var rest] => await Hosts.RunAsync(kind, rest),
        ["stampede", var engine, var milliseconds, var seed] =>
            await Stampede.RunAsync(engine, int.Parse(milliseconds), int.Parse(seed)),
        ["ledger", var endpoint, var path] => await LedgerServer.RunAsync(endpoint, path),
        ["returning", var engine, var kills, var seed] =>
            await KilledServer.RunAsync(engine, int.Parse(kills), int.Parse(seed)),
        _ when !OperatingSystem.IsLinux() => Say("the bench needs Linux: it pins with taskset(1) and reads /proc", 12),
        ["peers", .. var rest] => await PeersBench.RunAsync(BenchOptions.Parse(rest)),
        ["broadcast", .. var rest] => await BroadcastBench.RunAsync(BenchOptions.Parse(rest)),
        ["scale", .. var rest] => await ScaleBench.RunAsync(BenchOptions.Parse(rest)),
        ["churn", .. var rest] => await ChurnBench.RunAsync(BenchOptions.Parse(rest)),
        ["soak", .. var rest] => await SoakBench.RunAsync(rest),
        _ => Say(BenchOptions.Usage, 2),
    };
}
catch (FormatException e)
{
    return Say($"{e.Message}\n{(args[0] == "soak" ? Soak.Usage : BenchOptions.Usage)}", 2);
}
catch (BenchException e)
{
    return Say(e.Message, 1);
}

static int Say(string text, int exitCode)
{
    Console.Error.WriteLine(text);
    return exitCode;
}
