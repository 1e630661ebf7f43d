using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Cli.Lookup;

/// <summary>`mortise explain`, `doctor` and `ps`: what went wrong, what this kernel can do, who has the port.</summary>
public sealed class ExplainTests
{
    [Fact]
    public async Task All_names_of_an_error_lead_to_one_page_in_either_language()
    {
        string[] names = ["98", "EADDRINUSE", "10048"];
        var pages = await Task.WhenAll(names.Select(n => MortiseProcess.RunAsync(["explain", n])));
        Assert.Single(pages.Distinct());
        Assert.StartsWith("EADDRINUSE  errno 98  WSAEADDRINUSE 10048\n", pages[0].Output);
        Assert.Matches(@"(?s)likely causes\n  - .*\ntry\n  1\. ", pages[0].Output);
        var chinese = await MortiseProcess.RunAsync(["explain", "10048", "--lang", "zh"]);
        Assert.Matches(@"(?s)地址已被占用\n.*可能的原因\n  - .*\n可以尝试\n  1\. ", chinese.Output);
        Row.Observed("A16", "98, EADDRINUSE and 10048 print one page: " + pages[0].Output);
        Row.Observed("A16", "--lang zh: " + chinese.Output);
    }

    [Fact]
    public async Task A_page_is_also_an_object_and_a_slip_gets_the_nearest_name()
    {
        var json = await MortiseProcess.RunAsync(["explain", "ECONNREFUSED", "--json"]);
        var page = JsonDocument.Parse(json.Output).RootElement;
        Assert.Equal((111, 10061), (page.GetProperty("errno").GetInt32(), page.GetProperty("winsock").GetInt32()));
        Assert.NotEqual(0, page.GetProperty("try").GetArrayLength());
        var slip = await MortiseProcess.RunAsync(["explain", "EADRINUSE"]);
        Assert.Equal((2, ""), (slip.ExitCode, slip.Output));
        Assert.Contains("did you mean EADDRINUSE?", slip.Error, StringComparison.Ordinal);
        var list = await MortiseProcess.RunAsync(["explain", "--list"]);
        Assert.Equal(ErrorCatalogue.All.Count, list.Output.Split('\n').Length);
    }

    [Fact]
    public async Task Winsock_needs_no_startup()
    {
        var told = await MortiseProcess.RunAsync(["explain", "WSAStartup"]);
        Assert.Equal(0, told.ExitCode);
        Assert.StartsWith("nothing to do", told.Output);
        var page = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "docs", "from-c-to-mortise.md"));
        Assert.Contains("| `WSAStartup`, `WSACleanup` | nothing", page, StringComparison.Ordinal);
        Row.Observed("A18", $"explain WSAStartup: {told.Output}; docs/from-c-to-mortise.md has the row");
        Assert.Contains("*value-result*", page, StringComparison.Ordinal);
        Row.Observed("I20", "docs/from-c-to-mortise.md: value-result parameters (accept's and recvfrom's length) are "
            + "return values in C#");
    }

    [Fact]
    public async Task The_doctor_knows_which_sockets_this_kernel_makes()
    {
        var run = await MortiseProcess.RunAsync(["doctor"]);
        Assert.Equal(0, run.ExitCode);
        var lines = run.Output.Split('\n');
        Assert.Contains(lines, l => l.StartsWith("ok    inet,stream,tcp ", StringComparison.Ordinal));
        foreach (var fact in (string[])["open files", "accept queue", "client ports", "SYN retries"])
            Assert.Contains(lines, l => l.Length > 6 && l[6..].StartsWith(fact, StringComparison.Ordinal));
        string[] asked = ["inet,stream,sctp", "tipc", "route"];
        var told = asked.Select(a => lines.Single(l => l.Contains(a + " ", StringComparison.Ordinal))).ToArray();
        Assert.All(told, l => Assert.Matches(@"^(ok|–) +\S+ +\S.+$", l));
        Row.Observed("A12", string.Join("; ", told));
        var json = await MortiseProcess.RunAsync(["doctor", "--json"]);
        var sockets = json.Output.Split('\n').Select(l => JsonDocument.Parse(l).RootElement)
            .Where(e => e.GetProperty("ev").GetString() == "socket")
            .ToDictionary(e => e.GetProperty("name").GetString()!,
                e => e.GetProperty("supported").GetBoolean());
        Assert.True(sockets["inet,stream,tcp"]);
        Assert.Equal(told[0].StartsWith("ok", StringComparison.Ordinal), sockets[asked[0]]);
    }

    [Fact]
    public async Task An_illegal_combination_is_refused_with_the_kernels_word_and_the_default_protocol_is_TCP()
    {
        var run = await MortiseProcess.RunAsync(["doctor", "--socket", "inet,stream,udp"]);
        Assert.Equal((12, ""), (run.ExitCode, run.Output));
        Assert.StartsWith("mortise: socket inet,stream,udp: Protocol not supported (EPROTONOSUPPORT 93)\n", run.Error);
        var api = await File.ReadAllTextAsync(Path.Combine(Repository.Root, "tests/Mortise.Tests/Api/PublicApi.txt"));
        Assert.DoesNotContain("ProtocolType", api, StringComparison.Ordinal);
        Assert.DoesNotContain("SocketType", api, StringComparison.Ordinal);
        Row.Observed("A14", $"exit 12: {run.Error.Split('\n')[0]}; nothing public takes a ProtocolType");

        Assert.Equal(0, (await MortiseProcess.RunAsync(["doctor", "--socket", "inet,stream,default"])).ExitCode);
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        using var zero = new Socket(AddressFamily.InterNetwork, SocketType.Stream, 0);
        zero.ReceiveTimeout = 10_000;
        zero.Connect(new IPEndPoint(IPAddress.Loopback, endpoint.Port));
        zero.Send("tcp"u8);
        var back = new byte[8];
        Assert.Equal("tcp"u8.ToArray(), back[..zero.Receive(back)]);
        Row.Observed("A13", "a socket of protocol 0 talks TCP with `serve echo`; the library takes an endpoint");
    }

    [Fact]
    public async Task The_owner_of_a_port_has_a_number_and_a_name()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", $"udp://127.0.0.1:0");
        await using var _ = server;
        var port = endpoint.Port.ToString(CultureInfo.InvariantCulture);
        var run = await MortiseProcess.RunAsync(["ps", "--port", port]);
        Assert.Equal((0, $"tcp {port} held by pid {server.Id} (dotnet)"), (run.ExitCode, run.Output));
        Row.Observed("A20", run.Output);
        var json = JsonDocument.Parse((await MortiseProcess.RunAsync(["ps", "--port", port, "--json"])).Output);
        Assert.Equal(server.Id, json.RootElement.GetProperty("pid").GetInt32());
        Assert.Equal("dotnet", json.RootElement.GetProperty("name").GetString());

        var listening = await MortiseProcess.RunShellAsync($"ss -Hltn 'sport = :{port}'");
        Assert.StartsWith("LISTEN", listening.Output);
        Row.Observed("F01", $"ss -ltn: {listening.Output}");

        server.Signal("INT");
        await server.ExitAsync();
        var gone = await MortiseProcess.RunAsync(["ps", "--port", port]);
        Assert.Equal((1, "", $"nobody holds port {port}"), (gone.ExitCode, gone.Output, gone.Error));
    }
}
