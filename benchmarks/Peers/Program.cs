using Mortise.Peers;

return args switch
{
    ["server", var kind, var port] => await EchoServers.RunAsync(kind, int.Parse(port)),
    ["load", .. var load] => ManagedLoad.Run([.. load.Select(int.Parse)]),
    _ => await Bench.RunAsync(args),
};
