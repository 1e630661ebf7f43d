using System.Text.Json.Serialization;
using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>Every file of samples/ does what its first line says, against real clients and servers.</summary>
public sealed partial class SamplesTests
{
    private const int LinesMax = 100;

    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromMinutes(2)).Token;

    [Fact]
    public async Task Echo_returns_what_nc_sends_and_a_mebibyte_byte_for_byte()
    {
        var (server, at) = await Sample.ServeAsync("echo");
        await using var _ = server;
        var nc = await MortiseProcess.RunShellAsync($"printf 'hello\\n' | nc -N -w 10 {at.Host} {at.Port}");
        Assert.Equal((0, "hello"), (nc.ExitCode, nc.Output));

        var sent = new byte[1024 * 1024];
        new Random(7007).NextBytes(sent);
        await using var client = await Sample.ConnectAsync(at);
        var sending = client.SendAsync(sent, _patience).AsTask();
        var back = new byte[sent.Length];
        await client.ReceiveExactlyAsync(back, _patience);
        await sending;
        Assert.Equal(sent, back);

        server.Signal("INT");
        Assert.Equal(0, await server.ExitAsync());
    }

    [Fact]
    public void Echo_is_two_lines_besides_directives_and_comments()
    {
        var code = Sample.TextOf("echo").Split('\n').Where(l => l.Trim() is not ("" or ['#', ..] or ['/', '/', ..]));
        Assert.InRange(code.Count(), 1, 2);
    }

    [Fact]
    public void Every_sample_can_be_read_at_a_glance() => Assert.All(
        Directory.GetFiles(Sample.Folder, "*.cs"), f => Assert.InRange(File.ReadLines(f).Count(), 1, LinesMax));

    [Fact]
    public async Task One_port_speaks_HTTP_and_lines()
    {
        var (server, at) = await Sample.ServeAsync("one-port");
        await using var _ = server;
        var both = await MortiseProcess.RunShellAsync($"curl -s http://{at.Host}:{at.Port}/; "
            + $"printf 'lines\\n' | nc -N -w 10 {at.Host} {at.Port}");
        Assert.Equal((0, "HELLO\nLINES"), (both.ExitCode, both.Output));
    }

    [Fact]
    public async Task Lines_answers_in_capitals_however_the_line_was_cut()
    {
        var (server, at) = await Sample.ServeAsync("lines");
        await using var _ = server;
        await using var client = await Sample.ConnectAsync(at);
        await client.SendAsync("hel"u8.ToArray(), _patience);
        await client.SendAsync("lo\nyou"u8.ToArray(), _patience);
        var first = new byte[6];
        await client.ReceiveExactlyAsync(first, _patience);
        Assert.Equal("HELLO\n"u8, first);
        await client.SendAsync("\n"u8.ToArray(), _patience);
        await client.ReceiveExactlyAsync(first.AsMemory(0, 4), _patience);
        Assert.Equal("YOU\n"u8, first.AsSpan(0, 4));
    }

    [Fact]
    public async Task Length_prefixed_answers_an_order_with_its_total()
    {
        var (server, at) = await Sample.ServeAsync("length-prefixed");
        await using var _ = server;
        await using var shop = await Sample.ConnectAsync(at, Codec.LengthPrefixed().Json(OrderJson.Default.Order));
        await shop.SendAsync(new Order("cake", 3, 0), _patience);
        Assert.Equal(new Order("cake", 3, 12.60m), await shop.ReceiveAsync(_patience));
        await shop.SendAsync(new Order("hay", 3, 0), _patience);
        Assert.Equal(0, (await shop.ReceiveAsync(_patience)).Total);
    }

    [Fact]
    public async Task A_program_of_a_few_lines_is_not_silent_about_a_wrong_client()
    {
        var (server, at) = await Sample.ServeAsync("length-prefixed");
        await using var _ = server;
        await using (var client = await Sample.ConnectAsync(at))
            await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), _patience);
        await server.ErrorAsync("an HTTP client on a length-prefixed port");
    }

    [Fact]
    public async Task Client_waits_for_a_server_that_is_not_up_yet_and_then_talks()
    {
        await Sample.PrepareAsync("lines");
        var at = Loopback.FreeEndpoint();
        await using var client = await Sample.StartAsync("client", at.ToString());
        await client.ErrorAsync("^try 1: ECONNREFUSED; again in 0");
        await using var server = await Sample.StartAsync("lines", at.ToString());
        await client.Input.WriteLineAsync("hello");
        await client.Input.FlushAsync(_patience);
        await client.OutputAsync("^HELLO$");
        client.Input.Close();
        Assert.Equal(0, await client.ExitAsync());
    }

    [Fact]
    public async Task One_command_runs_a_program()
    {
        await Sample.PrepareAsync("client");   // with --no-build below: tests must not write what they have loaded
        var (server, at) = await MortiseProcess.ServeAsync("echo", ":0", "--frame", "line");
        await using var _ = server;
        var run = await MortiseProcess.RunShellAsync(
            $"echo hi | dotnet run --no-build -c {Sample.Configuration} --file client.cs {at}", Sample.Folder);
        Assert.Equal((0, "hi"), (run.ExitCode, run.Output));
        Row.Observed("Z39", "dotnet run client.cs is all: no headers, no -l flags; N13 compiles the same for Windows");
    }

    [Fact]
    public async Task Ask_is_asked_back_before_it_is_greeted()
    {
        var (server, at) = await Sample.ServeAsync("ask", "serve");
        await using var _ = server;
        await using var ask = await Sample.StartAsync("ask", "hello", "Ann", at.ToString());
        Assert.Equal(0, await ask.ExitAsync());
        Assert.Equal("hello, Ann!", ask.Output);
    }

    [Fact]
    public async Task Rpc_adds_in_another_process()
    {
        var (server, at) = await Sample.ServeAsync("rpc", "serve");
        await using var _ = server;
        await using var call = await Sample.StartAsync("rpc", "add", "999", "1", at.ToString());
        Assert.Equal(0, await call.ExitAsync());
        Assert.Equal("1000", call.Output);
        await using var unknown = await Sample.StartAsync("rpc", "divide", "1", "0", at.ToString());
        Assert.Equal(1, await unknown.ExitAsync());
        Assert.Contains("no function 'divide'", unknown.Output);
        Row.Observed("L13", $"rpc.cs add 999 1 {at} printed {call.Output}");
    }

    private sealed record Order(string Item, int Count, decimal Total);

    [JsonSerializable(typeof(Order))]
    private sealed partial class OrderJson : JsonSerializerContext;
}
