using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>The tutorials' own programs: reply (16555), game (9003) and echo (10000).</summary>
public sealed class ServeKindTests
{
    private static readonly string[] HiAbc = ["reply", ":0", "--on", "hi=abc", "--else", "echo", "--once-per-conn"];

    [Fact]
    public async Task Hi_gets_abc_and_everything_else_its_echo_then_close()
    {
        await using var server = MortiseProcess.Start(["serve", .. HiAbc, "--log-format", "seed"]);
        var port = (await server.ErrorAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        await server.OutputAsync(@"^Listening\.\.\.$");
        var run = await MortiseProcess.RunShellAsync($"printf hi | timeout 5 nc -N 127.0.0.1 {port}");
        Assert.Equal("abc", run.Output);
        Assert.Equal("hello", await ServeClient.AskAsync($":{port}", "hello"));
        await server.OutputAsync("^Recv: hi$");
        Row.Observed("L01", "hi → abc, hello → hello, then closed; log: Listening... / Recv: hi");
        Assert.Equal("hi\n", await ServeClient.AskAsync($":{port}", "hi\n"));

        var big = new byte[5000];
        new Random(2).NextBytes(big);
        big[100] = 0;
        Assert.Equal(big, await ServeClient.AskAsync($":{port}", big));
        Row.Observed("I24", "5,000 bytes are answered whole and closed with FIN (the tutorial: 2,047, then a reset)");
        Row.Observed("Z17", "5,000 bytes to a server that closes after one reply: the whole reply, then EOF, no RST");
    }

    [Fact]
    public async Task Segments_do_not_matter_with_or_without_frames()
    {
        var (raw, endpoint) = await MortiseProcess.ServeAsync(HiAbc);
        await using var _ = raw;
        using var client = await ServeClient.ConnectAsync(endpoint);
        await client.SendAsync("h");
        await Task.Delay(200);   // longer than the pause that ends a message which cannot become a key
        await client.SendAsync("i");
        Assert.Equal("abc"u8.ToArray(), await client.ReadToEndAsync());
        Row.Observed("Z13", "h and i in two segments: abc (the tutorial answers h and closes)");

        var (line, lineEndpoint) = await MortiseProcess.ServeAsync([.. HiAbc, "--frame", "line"]);
        await using var __ = line;
        Assert.Equal("abc\n", await ServeClient.AskAsync(lineEndpoint, "hi\n"));
        Assert.Equal("abc\n", await ServeClient.AskAsync(lineEndpoint, "hi\r\n"));
        Row.Observed("L02", "--frame line: hi\\n and hi\\r\\n get abc");
        Row.Observed("Z16", "the line end is no part of the message: hi\\n matches hi");
        using var slow = await ServeClient.ConnectAsync(lineEndpoint);
        await slow.SendAsync("h");
        await Task.Delay(30);
        await slow.SendAsync("i\n");
        Assert.Equal("abc\n"u8.ToArray(), await slow.ReadToEndAsync());
        Row.Observed("L03", "h, then i\\n: abc");
    }

    [Fact]
    public async Task Bytes_held_as_a_prefix_go_the_else_way_at_the_end()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("reply", ":0", "--on", @"a\0b=\x01\xff", "--on", "q=1",
            "--else", "what?\\n");
        await using var _ = server;
        Assert.Equal([1, 0xFF], await ServeClient.AskAsync(endpoint, "a\0b"u8.ToArray()));
        Assert.Equal("what?\n", await ServeClient.AskAsync(endpoint, "a\0"));
        var (closing, closeEndpoint) = await MortiseProcess.ServeAsync("reply", ":0", "--on", "q=1", "--else", "close");
        await using var __ = closing;
        Assert.Equal("", await ServeClient.AskAsync(closeEndpoint, "nonsense"));
        Assert.Equal("1", await ServeClient.AskAsync(closeEndpoint, "q"));
        var bad = await MortiseProcess.RunAsync(["serve", "reply", "--on", "hi"]);
        Assert.Equal(2, bad.ExitCode);
    }

    [Fact]
    public async Task The_game_answers_each_message_and_ends_only_the_dialogue_that_asks_for_it()
    {
        Assert.SkipUnless(await PortIsFreeAsync(9003), "port 9003 is taken on this machine");
        await using var server = MortiseProcess.Start("serve", "game", ":9003", "--end-flag", "end",
            "--reply", "Server to client!", "--log-format", "seed");
        await server.OutputAsync("^TCPServer 启动成功，等待连接。。。$");
        await server.OutputAsync("^等待连接$");
        Endpoint endpoint = ":9003";
        using var other = await ServeClient.ConnectAsync(endpoint);
        var answer = await ServeClient.AskAsync(endpoint, "one\ntwo\nend\nafter\n");
        Assert.Equal("Server to client!\nServer to client!\nend\n", answer);
        await server.OutputAsync("^客户端不再发送消息$");
        var peer = await server.OutputAsync(@"^\(127\.0\.0\.1:\d+\)$");
        await server.OutputAsync("^recv: two$");
        await other.SendAsync("still\n");
        Assert.Equal("Server to client!\n", await other.ReadAsync(18));
        Assert.Equal("Server to client!\n", await ServeClient.AskAsync(endpoint, "next\n"));
        Row.Observed("L06", $"2 words: 2 replies, then end is echoed; peer {peer.Value}; others and the next go on");
        Row.Observed("Z01", "it listens on 9003, not on 11043, and the client's 9003 finds it");
        Row.Observed("Z02", "ordinary messages go on, only the end flag ends");
        Row.Observed("Z03", "the reply is 17 bytes and a line end, no padding");
        Row.Observed("Z06", "a player that leaves is a disconnect, not an empty message");
        Row.Observed("Z29", "the next player is served after the first has left");
    }

    [Fact]
    public async Task The_tutorials_block_of_1024_bytes_works_as_a_rule()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("game", ":0", "--frame", "fixed:1024,pad=0");
        await using var _ = server;
        var sent = new byte[2048];
        "hello"u8.CopyTo(sent);
        "end"u8.CopyTo(sent.AsSpan(1024));
        var back = await ServeClient.AskAsync(endpoint, sent);
        Assert.Equal(2048, back.Length);
        Assert.Equal("Server to client!", Encoding.ASCII.GetString(back, 0, 1024).TrimEnd('\0'));
        Assert.Equal("end", Encoding.ASCII.GetString(back, 1024, 1024).TrimEnd('\0'));
        Row.Observed("L08", "fixed:1024,pad=0: a NUL-padded block gets a NUL-padded block; the end flag too");
    }

    [Fact]
    public async Task A_hundred_players_at_once_each_get_their_own_replies()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("game", ":0");
        await using var _ = server;
        var players = await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => ServeClient.ConnectAsync(endpoint)));
        var replies = await Task.WhenAll(players.Select(async (player, i) =>
        {
            await player.SendAsync($"move {i}\nend\n");
            return Encoding.UTF8.GetString(await player.ReadToEndAsync());
        }));
        Assert.All(replies, r => Assert.Equal("Server to client!\nend\n", r));
        foreach (var player in players)
            player.Dispose();
        Row.Observed("L09", $"{replies.Length} players connected at once, each got its own reply and its own end");
    }

    [Fact]
    public async Task The_echo_tutorials_words_name_the_real_port_and_outlive_the_first_client()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "--log-format", "seed");
        var port = (await server.ErrorAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        int local;
        using (var client = await ServeClient.ConnectAsync($":{port}"))
        {
            local = ((System.Net.IPEndPoint)client.Socket.LocalEndPoint!).Port;
            await client.SendAsync("hi, I am client...1\n");
            Assert.Equal("hi, I am client...1\n", await client.ReadAsync(20));
        }

        var hello = await server.OutputAsync(@"^new client fd:\d+ ip:127\.0\.0\.1, port:(\d+)$");
        Assert.Equal($"{local}", hello.Groups[1].Value);
        await server.OutputAsync(@"^client says: hi, I am client\.\.\.1$");
        await server.OutputAsync(@"^client is disconnect\.\.$");
        Assert.Equal("again", await ServeClient.AskAsync($":{port}", "again"));
        server.Signal("INT");
        Assert.Equal(0, await server.ExitAsync());
        Assert.Contains("Close Server", server.Output);
        Row.Observed("L10", $"{hello.Value} / client says: … / client is disconnect.. ; the second client is served");
        Row.Observed("G02", hello.Value);
        Row.Observed("Z05", $"the log's port {hello.Groups[1].Value} is the client's own");
    }

    [Fact]
    public async Task An_encoding_other_than_UTF_8_is_read_and_written()
    {
        await using var server = MortiseProcess.Start("serve", "reply", ":0", "--on", "你好=再见",
            "--encoding", "gb18030", "-v");
        var port = (await server.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        Encoding.RegisterProvider(CodePagesEncodingProvider.Instance);
        var gb = Encoding.GetEncoding("gb18030");
        Assert.Equal("再见", gb.GetString(await ServeClient.AskAsync($":{port}", gb.GetBytes("你好"))));
        await server.OutputAsync("recv 4 B \"你好\"");
    }

    private static async Task<bool> PortIsFreeAsync(int port)
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await probe.ConnectAsync("127.0.0.1", port);
            return false;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
