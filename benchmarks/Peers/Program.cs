using Mortise.Peers.Churning;
using Mortise.Peers.Comparing;
using Mortise.Peers.Running;
using Mortise.Peers.Scaling;
using Mortise.Peers.Servers;

try
{
    return args switch
    {
        ["server", var kind, .. var rest] => await Hosts.RunAsync(kind, rest),
        _ when !OperatingSystem.IsLinux() => Say("the bench needs Linux: it pins with taskset(1) and reads /proc", 12),
        ["peers", .. var rest] => await PeersBench.RunAsync(BenchOptions.Parse(rest)),
        ["scale", .. var rest] => await ScaleBench.RunAsync(BenchOptions.Parse(rest)),
        ["churn", .. var rest] => await ChurnBench.RunAsync(BenchOptions.Parse(rest)),
        _ => Say(BenchOptions.Usage, 2),
    };
}
catch (FormatException e)
{
    return Say($"{e.Message}\n{BenchOptions.Usage}", 2);
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
