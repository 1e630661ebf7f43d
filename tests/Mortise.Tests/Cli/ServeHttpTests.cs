using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>`mortise serve http-hello` and `--metrics`, asked by curl and by sockets.</summary>
public sealed class ServeHttpTests
{
    [Fact]
    public async Task Curl_shows_the_parts_of_a_correct_response()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("http-hello", ":0", "--body", "Hello\\n");
        await using var _ = server;
        var curl = await MortiseProcess.RunShellAsync(
            $"curl -si -m 5 http://{endpoint.Authority}/; echo \"rc $?\"; curl -sI -m 5 http://{endpoint.Authority}/");
        var text = curl.Output.ReplaceLineEndings("\n");
        Assert.StartsWith("HTTP/1.1 200 OK\n", text);
        Assert.Contains("\nContent-Length: 6\n", text);
        Assert.Contains("\nContent-Type: text/plain; charset=utf-8\n", text);
        Assert.Matches(@"\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\n", text);
        Assert.Contains("\n\nHello\nrc 0\n", text);
        Assert.DoesNotContain("Hello", text[text.IndexOf("rc 0", StringComparison.Ordinal)..]);
        Row.Observed("M01", "curl -i: status line, Date, Content-Type, Content-Length, Connection, blank line, Hello");
        Row.Observed("Z24", "the response is composed with its lengths, not strcat'ed into a fixed buffer");
        Row.Observed("Z25", "Content-Length: 6 and Content-Type are there");
    }

    [Fact]
    public async Task The_tutorials_44_bytes_come_exactly_after_the_request_was_read()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("http-hello", ":0", "--seed-exact");
        await using var _ = server;
        using var client = await ServeClient.ConnectAsync(endpoint);
        string[] pieces = ["GET / HT", "TP/1.1\r\nHost: x\r", "\nX: " + new string('y', 9000), "\r\n\r\n"];
        foreach (var piece in pieces)
        {
            Assert.Equal(0, client.Socket.Available);
            await client.SendAsync(piece);
            await Task.Delay(20);
        }

        var bytes = await client.ReadToEndAsync();
        Assert.Equal("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHello\n", Encoding.ASCII.GetString(bytes));
        Assert.Equal(44, bytes.Length);
        Row.Observed("M02", $"--seed-exact: {bytes.Length} bytes, exactly the tutorial's");
        Row.Observed("M03", "a 9 KB request in four pieces is read whole, answered, and closed with FIN, not RST");
    }

    [Theory]
    [InlineData("\u0016\u0003\u0001 garbage\r\n\r\n", "400")]
    [InlineData("GET /\r\n\r\n", "400")]
    [InlineData("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400")]
    [InlineData("GET / HTTP/1.1\r\nHost", "400")]
    [InlineData("DELETE / HTTP/1.1\r\n\r\n", "405")]
    [InlineData("GET / HTTP/3.0\r\n\r\n", "505")]
    public async Task What_is_no_request_is_refused_by_number(string request, string status)
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("http-hello", ":0");
        await using var _ = server;
        Assert.StartsWith($"HTTP/1.1 {status} ", await ServeClient.AskAsync(endpoint, request));
    }

    [Theory, InlineData("http-hello"), InlineData("echo --frame line")]
    public async Task A_TLS_client_need_not_wait_for_its_answer(string kind)
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync([.. kind.Split(' '), ":0"]);
        await using var _ = server;
        var curl = await MortiseProcess.RunShellAsync($"curl -sSk -m 10 https://127.0.0.1:{endpoint.Port}/");
        Assert.Equal(35, curl.ExitCode); // CURLE_SSL_CONNECT_ERROR, not 28, which is a timeout
        if (kind != "http-hello")
            await server.OutputAsync("a TLS client on a port without TLS\\?");
    }

    [Fact]
    public async Task An_endless_head_is_refused_at_32_KiB()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("http-hello", ":0");
        await using var _ = server;
        var answer = await ServeClient.AskAsync(endpoint, "GET / HTTP/1.1\r\nX: " + new string('y', 40_000));
        Assert.StartsWith("HTTP/1.1 431 ", answer);
    }

    [Fact]
    public async Task Metrics_show_the_accept_queue_and_overflows_by_the_contracts_names()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "--metrics", ":0", "--accept-delay", "1m");
        var port = (await server.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        var page = (await server.ErrorAsync(@"metrics: (http://\S+)/metrics")).Groups[1].Value;
        var clients = new List<ServeClient>();
        for (var i = 0; i < 4; i++)
            clients.Add(await ServeClient.ConnectAsync($":{port}"));
        await clients[0].SendAsync("x");
        Assert.Equal("x", await clients[0].ReadAsync(1));
        var text = (await MortiseProcess.RunShellAsync($"curl -si -m 5 {page}/metrics")).Output;
        Assert.Contains("text/plain; version=0.0.4", text);
        Assert.Matches(@"\nmortise_connections_current 1\n", text.ReplaceLineEndings("\n"));
        Assert.Matches(@"\nmortise_accept_queue_length 3\n", text.ReplaceLineEndings("\n"));
        Assert.Matches(@"\nmortise_listen_overflows_total \d+", text.ReplaceLineEndings("\n"));
        Assert.Contains("mortise_rejected_total{reason=", text);
        var json = (await MortiseProcess.RunShellAsync($"curl -s -m 5 {page}/metrics.json")).Output;
        Assert.Contains("\"accept_queue_length\":3", json);
        foreach (var client in clients)
            client.Dispose();
        Row.Observed("F08", "mortise_accept_queue_length 3 with three waiting; listen_overflows_total too");
    }
}
