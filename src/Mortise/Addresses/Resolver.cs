using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Mortise.Addresses;
using Mortise.Addresses.Dns;

namespace Mortise;

/// <summary>
/// Names to addresses and back: gethostbyname(3) for both families, with aliases, a deadline and cancellation. It asks
/// in this order: the text itself if it is an address; RFC 6761 (<c>localhost</c> is this machine, <c>.invalid</c> is
/// nobody); the hosts file; then DNS. It never blocks a thread on the network. Safe for use by many at once.
/// </summary>
/// <example><code>
/// var host = await new Resolver().ResolveAsync("www.example.com", cancellationToken);
/// Console.WriteLine($"{host.Name} {string.Join(' ', host.Addresses)}");
/// </code></example>
public sealed class Resolver
{
    private readonly ResolverOptions _options;
    private readonly HostCache _cache;

    /// <summary>Creates a resolver; without options it does what the machine is configured for.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is not positive, or there is no attempt.</exception>
    public Resolver(ResolverOptions? options = null)
    {
        _options = options ?? new();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.Attempts, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(_options.Timeout, TimeSpan.Zero);
        _cache = new(_options.TimeProvider);
    }

    /// <summary>All addresses of a name.</summary>
    /// <exception cref="InvalidSettingException">The text can be neither a name nor an address.</exception>
    /// <exception cref="ResolveException">
    /// HOST_NOT_FOUND: there is no such name. NO_DATA: it has no address. TRY_AGAIN: the server fails or sends
    /// nonsense. ETIMEDOUT: it is silent. The message names the host and the server.
    /// </exception>
    public async Task<HostEntry> ResolveAsync(string name, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (!HostText.TryRead(name, out var host, out var refusal))
            throw refusal.ToException(name);
        if (AddressText.Read(host) is { } literal)
            return new(host, [], [literal], null, "literal");
        var absolute = host.EndsWith('.');
        host = host.TrimEnd('.');
        if (IsUnder(host, "localhost"))
            return new("localhost", host == "localhost" ? [] : [host], Loopback(), null, "loopback");
        if (IsUnder(host, "invalid"))
            throw new ResolveException(host, "HOST_NOT_FOUND", "no name under .invalid exists (RFC 6761)");
        var lines = await SystemFiles.HostsAsync(_options.HostsFile, cancellationToken).ConfigureAwait(false);
        if (FromHosts(host, lines) is { } entry)
            return entry;
        if (_cache.Find(absolute ? host + "." : host) is { } kept)
            return kept;
        var found = await FromDnsAsync(host, absolute, cancellationToken).ConfigureAwait(false);
        _cache.Keep(absolute ? host + "." : host, found);
        return found;
    }

    /// <summary>The name of an address: from the hosts file, else the PTR record.</summary>
    /// <exception cref="ResolveException">As for <see cref="ResolveAsync"/>.</exception>
    public async Task<HostEntry> ReverseAsync(IPAddress address, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(address);
        var asked = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        var lines = await SystemFiles.HostsAsync(_options.HostsFile, cancellationToken).ConfigureAwait(false);
        if (lines.FirstOrDefault(line => line.Address.Equals(asked)) is { Names: not null } line)
            return new(line.Names[0], [.. line.Names.Skip(1)], [asked], null, _options.HostsFile);
        if (IPAddress.IsLoopback(asked))
            return new("localhost", [], [asked], null, "loopback");
        var conf = await ServersAsync(cancellationToken).ConfigureAwait(false);
        return conf.Servers.Count == 0
            ? await HostLookup.SystemReverseAsync(asked, _options, cancellationToken).ConfigureAwait(false)
            : await HostLookup.ReverseAsync(Client(conf), conf.Servers, asked, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>This machine's name (gethostname(2)) and the addresses of its interfaces, loopback last.</summary>
    public Task<HostEntry> SelfAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var own = NetworkInterface.GetAllNetworkInterfaces()
            .Where(card => card.OperationalStatus != OperationalStatus.Down)
            .SelectMany(card => card.GetIPProperties().UnicastAddresses)
            .Select(unicast => unicast.Address)
            .Distinct()
            .ToLookup(IPAddress.IsLoopback);
        IPAddress[] addresses = [.. AddressOrder.Interleave(own[false]), .. AddressOrder.Interleave(own[true])];
        return Task.FromResult(new HostEntry(System.Net.Dns.GetHostName(), [],
            addresses.Length > 0 ? addresses : Loopback(), null, "interfaces"));
    }

    /// <summary>
    /// Where clients reach a listening endpoint: for <c>*</c>, <c>0.0.0.0</c> and <c>[::]</c> one endpoint for each of
    /// this machine's addresses of that family, loopback last; any other endpoint is its own answer.
    /// </summary>
    public async Task<IReadOnlyList<Endpoint>> ReachableAsync(Endpoint listening,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(listening);
        if (!listening.IsWildcard)
            return [listening];
        var self = await SelfAsync(cancellationToken).ConfigureAwait(false);
        return [.. self.Addresses
            .Where(own => listening.IsDualStack || own.AddressFamily == listening.Address!.AddressFamily)
            .Select(listening.WithAddress)];
    }

    /// <summary>The port of a service: getservbyname(3), with a few names built in where there is no file.</summary>
    /// <exception cref="ResolveException">NO_DATA: no service has that name with that protocol.</exception>
    public async Task<ServiceEntry> ServicePortAsync(string name, string protocol = "tcp",
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(protocol);
        return await SystemFiles.ServiceAsync(_options.ServicesFile, name, protocol, cancellationToken)
            .ConfigureAwait(false) ?? throw new ResolveException(name, "NO_DATA",
                $"there is no service of that name for {protocol}", $"see {_options.ServicesFile}");
    }

    private static bool IsUnder(string host, string top) =>
        host == top || host.EndsWith("." + top, StringComparison.Ordinal);

    private static IPAddress[] Loopback() =>
        Socket.OSSupportsIPv6 ? [IPAddress.IPv6Loopback, IPAddress.Loopback] : [IPAddress.Loopback];

    private HostEntry? FromHosts(string host, IReadOnlyList<HostsLine> lines)
    {
        HostsLine[] mine = [.. lines.Where(line => line.Names.Contains(host))];
        if (mine.Length == 0)
            return null;
        var official = mine[0].Names[0];
        string[] aliases = [.. mine.SelectMany(line => line.Names).Distinct().Where(name => name != official)];
        return new(official, aliases, AddressOrder.Interleave(mine.Select(line => line.Address).Distinct()), null,
            _options.HostsFile);
    }

    private async Task<HostEntry> FromDnsAsync(string host, bool absolute, CancellationToken cancellationToken)
    {
        var conf = await ServersAsync(cancellationToken).ConfigureAwait(false);
        if (conf.Servers.Count == 0)
            return await HostLookup.SystemAsync(host, _options, cancellationToken).ConfigureAwait(false);
        var client = Client(conf);
        // resolv.conf(5): a name with fewer dots than ndots is tried under the search domains first.
        IEnumerable<string> suffixed = absolute ? [] : conf.Search.Select(suffix => $"{host}.{suffix}");
        string[] names = host.Count(c => c == '.') >= conf.Dots ? [host, .. suffixed] : [.. suffixed, host];
        ResolveException? unknown = null;
        foreach (var name in names.Where(name => HostText.NameFault(name) is null))
        {
            try
            {
                return await HostLookup.ResolveAsync(client, conf.Servers, name, cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (ResolveException next) when (next.Symbol is "HOST_NOT_FOUND" or "NO_DATA")
            {
                unknown = name == host || unknown is null ? next : unknown;
            }
        }
        throw unknown!;
    }

    private DnsClient Client(ResolvConf conf) =>
        new(conf.Servers, _options.Timeout, _options.Attempts, _options.TimeProvider);

    private async Task<ResolvConf> ServersAsync(CancellationToken cancellationToken)
    {
        if (_options.DnsServer is { } server)
            return ResolvConf.Empty with { Servers = [server] };
        return await SystemFiles.ResolvConfAsync(_options.ResolvConfFile, cancellationToken).ConfigureAwait(false);
    }
}
