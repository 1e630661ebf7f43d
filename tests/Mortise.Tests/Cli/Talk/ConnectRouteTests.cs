using System.Diagnostics;
using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>What a routing table can answer, in a network of our own (user_namespaces(7), ip-route(8)).</summary>
public sealed class ConnectRouteTests
{
    private const string InNamespace = """
        export MORTISE
        unshare -rn bash -c '
            $MORTISE connect 127.0.0.1:80 --explain; echo "$?"
            ip link set lo up
            ip route add unreachable 10.9.9.0/24; $MORTISE connect 10.9.9.1:80 --explain; echo "$?"
            ip route add prohibit 10.9.8.0/24;    $MORTISE connect 10.9.8.1:80 --explain; echo "$?"
            ip route add blackhole 10.9.7.0/24;   $MORTISE connect 10.9.7.1:80 --explain; echo "$?"'
        """;

    [Fact]
    public async Task Each_answer_of_the_routing_table_has_its_name_and_exit_code()
    {
        await SkipWithoutNamespacesAsync();
        var run = await MortiseProcess.RunShellAsync(InNamespace);
        var said = run.Error.Split('\n').Where(l => l.StartsWith("connect ", StringComparison.Ordinal)).ToList();
        Assert.Equal("6\n6\n11\n6", run.Output);
        Assert.Equal(4, said.Count);
        Assert.StartsWith("connect 127.0.0.1:80 → unreachable (ENETUNREACH 101)", said[0]);
        Assert.StartsWith("connect 10.9.9.1:80 → unreachable (EHOSTUNREACH 113)", said[1]);
        Assert.StartsWith("connect 10.9.8.1:80 → not permitted (EACCES 13)", said[2]);
        Assert.StartsWith("connect 10.9.7.1:80 → failed (EINVAL 22)", said[3]);
        Assert.Contains("a prohibit route or a firewall rule forbids it", run.Error);
        Assert.Contains("a blackhole route swallows packets", run.Error);
        Row.Observed("H05", $"unreachable route: exit 6, {said[1]}");
        Row.Observed("H06", $"lo is down: exit 6, {said[0]}");
        Row.Observed("H12", $"prohibit: exit 11, {said[2]}; blackhole: exit 6, {said[3]}");
    }

    private static async Task SkipWithoutNamespacesAsync()
    {
        using var attempt = Process.Start(new ProcessStartInfo("bash")
        {
            ArgumentList = { "-c", "unshare -rn ip link show lo" },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var error = await attempt.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await attempt.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.SkipUnless(attempt.ExitCode == 0, $"no private network here: {error.Trim()}");
    }
}
