using System.Globalization;

namespace Mortise.Cli.Talk;

/// <summary>
/// What a person reads about connecting: that it went well, or how it failed and what the kernel did.
/// </summary>
internal static class DialReport
{
    /// <summary>What is shorter is mostly this process warming up, not the network.</summary>
    private static readonly TimeSpan OwnTime = TimeSpan.FromMilliseconds(200);

    public static string Connected(Connection connection, TimeSpan took) =>
        $"connected {connection.LocalEndpoint.Authority} → {connection.RemoteEndpoint.Authority} "
        + $"in {Span(Handshake(connection) ?? took)}" + (connection.Tls is { } tls ? $" ({tls})" : "");

    public static string Closed(Connection connection) => string.Create(CultureInfo.InvariantCulture,
        $"closed ({(connection.CloseReason ?? CloseReason.Eof).Name()}): received {connection.BytesReceived:N0} B, "
        + $"sent {connection.BytesSent:N0} B");

    public static string Retry(Endpoint endpoint, int number, int retries, ConnectException error, TimeSpan pause,
        string language) => language == Wording.Chinese
        ? $"connect {endpoint.Authority}: 第 {number}/{retries + 1} 次尝试{Wording.Outcome(error.Symbol, language)} "
            + $"({Name(error)})，{Span(pause)} 后重试"
        : $"connect {endpoint.Authority}: try {number} of {retries + 1} {Wording.Outcome(error.Symbol, language)} "
            + $"({Name(error)}), again in {Span(pause)}";

    /// <summary>The failure in three lines: what, why, and what to try.</summary>
    public static void Failed(Endpoint endpoint, ConnectException error, bool explain, string language)
    {
        string Say(string english, string chinese) => Wording.In(language, english, chinese);
        var elapsed = error.Attempts.Count > 0 ? error.Attempts.Max(a => a.Elapsed) : (TimeSpan?)null;
        Console.Error.WriteLine($"connect {endpoint.Authority} → {Wording.Outcome(error.Symbol, language)} "
            + $"({Name(error)})" + (elapsed is not { } time ? "" : time < OwnTime ? Say(" at once", "，立即返回")
                : Say($" after {Span(time)}", $"，用时 {Span(time)}")));
        var (reason, hint) = Wording.Of(error, language);
        Console.Error.WriteLine("  " + reason);
        if (error.Attempts.Count > 1)
            foreach (var attempt in error.Attempts)
                Console.Error.WriteLine(Say("  tried ", "  试过 ") + $"{attempt.Address}: {attempt.Symbol}"
                    + Say(" after ", "，用时 ") + Span(attempt.Elapsed));
        if (explain && elapsed is { } spent)
            Console.Error.WriteLine(Say("  the kernel: ", "  内核: ") + WhatTheKernelDid(error, spent));
        if (hint is not null)
            Console.Error.WriteLine(Say("  try: ", "  试试: ") + hint);
        Console.Error.WriteLine(Say("  more: ", "  更多: ") + "mortise explain " + error.Symbol);
    }

    /// <summary>The kernel's measure of the handshake, where it has one; our clock would count our start-up.</summary>
    private static TimeSpan? Handshake(Connection connection) =>
        OperatingSystem.IsLinux() && connection.RemoteEndpoint.Kind == EndpointKind.Tcp
            ? connection.GetTcpInfo().RoundTrip
            : null;

    private static string Name(ConnectException error) =>
        error.Errno == 0 ? error.Symbol : string.Create(CultureInfo.InvariantCulture, $"{error.Symbol} {error.Errno}");

    /// <summary>
    /// The socket is closed by the time anybody asks, so the SYNs are counted by the kernel's timer: 1 s after the
    /// first, then twice as long each time (RFC 6298).
    /// </summary>
    private static string WhatTheKernelDid(ConnectException error, TimeSpan elapsed) => error.Symbol switch
    {
        "ECONNREFUSED" => "1 SYN sent, a RST came back: the end, the kernel does not try again",
        "ETIMEDOUT" => string.Create(CultureInfo.InvariantCulture,
            $"{SynsWithin(elapsed)} SYNs sent in {Span(elapsed)} (after 0, 1, 3, 7 … s), no answer; left alone it "
            + $"would send {1 + SynRetries()} and give up after {(1 << (SynRetries() + 1)) - 1} s "
            + $"(net.ipv4.tcp_syn_retries)"),
        "ENETUNREACH" or "EHOSTUNREACH" when elapsed < TimeSpan.FromMilliseconds(500) =>
            "no SYN left this machine: the routing table has no way there (`ip route get ADDRESS`)",
        "EHOSTUNREACH" => $"ICMP or missing ARP answers ended it after {Span(elapsed)} and {SynsWithin(elapsed)} SYNs; "
            + "a first ICMP error is taken as soft and the SYN repeated",
        "EACCES" or "EPERM" => "no SYN left this machine: a prohibit route or a firewall rule forbids it",
        "EINVAL" => "no SYN left this machine: a blackhole route swallows packets for that network",
        _ => "no connection was begun",
    };

    private static int SynsWithin(TimeSpan elapsed) =>
        Math.Min(1 + SynRetries(), (int)Math.Log2(elapsed.TotalSeconds + 1) + 1);

    private static int SynRetries()
    {
        const string Path = "/proc/sys/net/ipv4/tcp_syn_retries";
        return File.Exists(Path) && int.TryParse(File.ReadAllText(Path), out var retries) ? retries : 6;
    }

    private static string Span(TimeSpan time) => time.TotalMilliseconds switch
    {
        < 1 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.00} ms"),
        < 10 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.0} ms"),
        < 1000 => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0} ms"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s"),
    };
}
