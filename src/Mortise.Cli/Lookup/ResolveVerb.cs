using System.CommandLine;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Cli.Lookup;

/// <summary>`mortise resolve`: names to addresses and back, with the aliases that .NET leaves out.</summary>
internal static class ResolveVerb
{
    private const int DnsPort = 53;

    private static readonly Argument<string?> Name = new("NAME")
    {
        Description = "a host name, or with --reverse an address",
        Arity = ArgumentArity.ZeroOrOne,
    };

    private static readonly Option<bool> Self = new("--self") { Description = "this machine's name and addresses" };
    private static readonly Option<bool> Reverse = new("--reverse") { Description = "from an address to its name" };
    private static readonly Option<bool> Json = new("--json") { Description = "one JSON object" };
    private static readonly Option<bool> Verbose = new("--verbose", "-v") { Description = "also who answered" };
    private static readonly Option<string?> Service = new("--service")
    {
        Description = "the port of a service",
        HelpName = "NAME[/udp]",
    };

    private static readonly Option<string?> Server = new("--server")
    {
        Description = "ask this DNS server and no other",
        HelpName = "ADDRESS[:PORT]",
    };

    private static readonly Option<string?> Hosts = new("--hosts")
    {
        Description = "read this file instead of /etc/hosts",
        HelpName = "FILE",
    };

    private static readonly Option<string> Timeout = new("--timeout")
    {
        Description = "the longest one question takes",
        HelpName = "T",
        DefaultValueFactory = _ => "5s",
    };

    public static Command Build()
    {
        var command = new Command("resolve",
            "Names to addresses and back: mortise resolve NAME [--server 127.0.0.1:5353]")
        {
            Name, Self, Reverse, Service, Server, Hosts, Timeout, Json, Verbose,
        };
        command.Validators.Add(result =>
        {
            bool[] asked = [result.GetResult(Name)?.Tokens.Count > 0, result.GetValue(Self),
                result.GetValue(Service) is not null];
            if (asked.Count(a => a) != 1)
                result.AddError("what is to be resolved? give a NAME, --self or --service NAME");
        });
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var resolver = new Resolver(Options(parsed));
        if (parsed.GetValue(Service) is { } service)
        {
            var (name, protocol) = service.Split('/', 2) is [var n, var p] ? (n, p) : (service, "tcp");
            Print(await resolver.ServicePortAsync(name, protocol, cancellationToken), parsed.GetValue(Json));
            return 0;
        }

        if (parsed.GetValue(Self))
        {
            Print(await resolver.SelfAsync(cancellationToken), parsed, "Host name: ");
            return 0;
        }

        var text = parsed.GetValue(Name)!;
        if (parsed.GetValue(Reverse))
        {
            var address = AddrVerb.BareAddress(text)?.Address ?? throw new InvalidSettingException("resolve", text,
                "not an IP address", "--reverse goes from an address to its name");
            Print(await resolver.ReverseAsync(address, cancellationToken), parsed, "Host name: ");
            return 0;
        }

        try
        {
            Print(await resolver.ResolveAsync(text, cancellationToken), parsed, null);
            return 0;
        }
        catch (ResolveException)
        {
            // The first line is what the tutorials' programs print; the cause follows from whoever catches this.
            Console.Error.WriteLine("Get IP address error!");
            throw;
        }
    }

    private static ResolverOptions Options(ParseResult parsed)
    {
        var longest = TextValues.Time(parsed.GetValue(Timeout)!, Timeout.Name);
        if (longest <= TimeSpan.Zero)
            throw new InvalidSettingException("resolve", parsed.GetValue(Timeout)!,
                "a question takes some time, not for ever",
                "for example --timeout 2s");
        var options = new ResolverOptions { Timeout = longest };
        if (parsed.GetValue(Hosts) is { } file)
        {
            if (!File.Exists(file))
                throw new InvalidSettingException("resolve", file, "there is no such hosts file");
            options = options with { HostsFile = file };
        }

        if (parsed.GetValue(Server) is not { } server)
            return options;
        var at = AddrVerb.BareAddress(server)?.WithPort(DnsPort);
        return (at is not null || Endpoint.TryParse(server, out at, out _)) && at is { Address: { } address, Port: > 0 }
            ? options with { DnsServer = new IPEndPoint(address, at.Port) }
            : throw new InvalidSettingException("resolve", server, "a DNS server is given as ADDRESS or ADDRESS:PORT",
                "for example --server 127.0.0.1:53");
    }

    private static void Print(HostEntry entry, ParseResult parsed, string? title)
    {
        if (parsed.GetValue(Json))
        {
            PrintJson(entry);
            return;
        }

        var name = TerminalText.Escape(entry.Name);
        if (title is not null)
            Console.WriteLine(title + name);
        for (var i = 0; i < entry.Aliases.Count; i++)
            Console.WriteLine($"Aliases {i + 1}: {TerminalText.Escape(entry.Aliases[i])} → {name}");
        var number = 0;
        foreach (var family in entry.Addresses.GroupBy(a => a.AddressFamily))
        {
            Console.WriteLine($"Address type: {NameOf(family.Key)}");
            foreach (var address in family)
                Console.WriteLine($"IP addr {++number}: {address}");
        }

        if (parsed.GetValue(Verbose))
            Console.Error.WriteLine($"{name}: from {TerminalText.Escape(entry.Source)}"
                + (entry.TimeToLive is { } kept ? $", may be kept {kept.TotalSeconds:0} s" : ""));
    }

    private static void Print(ServiceEntry service, bool asJson)
    {
        if (asJson)
            JsonLine.Write("service", json =>
            {
                json.WriteString("name", service.Name);
                json.WriteNumber("port", service.Port);
                json.WriteString("protocol", service.Protocol);
            });
        else
            Console.WriteLine(service);
    }

    private static void PrintJson(HostEntry entry) => JsonLine.Write("resolved", json =>
    {
        json.WriteString("name", entry.Name);
        json.WriteStartArray("aliases");
        foreach (var alias in entry.Aliases)
            json.WriteStringValue(alias);
        json.WriteEndArray();
        json.WriteString("family", NameOf(entry.AddressFamily));
        json.WriteStartArray("addresses");
        foreach (var address in entry.Addresses)
            json.WriteStringValue(address.ToString());
        json.WriteEndArray();
        if (entry.TimeToLive is { } kept)
            json.WriteNumber("ttl", (long)kept.TotalSeconds);
        json.WriteString("source", entry.Source);
    });

    private static string NameOf(AddressFamily family) =>
        family == AddressFamily.InterNetworkV6 ? "AF_INET6" : "AF_INET";
}
