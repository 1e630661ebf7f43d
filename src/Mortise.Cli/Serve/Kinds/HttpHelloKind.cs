using System.CommandLine;
using System.Text;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>The tutorial's HTTP server on a raw socket: one response that browsers show, then close.</summary>
internal sealed class HttpHelloKind() : Kind("http-hello", "tcp://127.0.0.1:8081",
    "One HTTP response on a raw socket: correct by default, the tutorial's 44 bytes with --seed-exact")
{
    /// <summary>44 bytes: no length, no type; the close ends the body.</summary>
    private static readonly byte[] SeedResponse = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHello\n"u8.ToArray();

    private readonly Option<string> _body = new("--body")
    {
        Description = "what the page says",
        HelpName = "TEXT",
        DefaultValueFactory = _ => @"Hello\n",
    };

    private readonly Option<bool> _seedExact = new("--seed-exact") { Description = "exactly the tutorial's 44 bytes" };

    public override IEnumerable<Option> Options => [_body, _seedExact];

    public override string TryWith(Endpoint endpoint, Framing? framing) => endpoint.Kind == EndpointKind.Tcp
        ? $"curl -i http://{(endpoint.IsWildcard ? $"127.0.0.1:{endpoint.Port}" : endpoint.Authority)}/"
        : $"curl -i --unix-socket {endpoint.Host} http://localhost/";

    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        if (settings.Framing is not null)
            throw new InvalidSettingException("serve", "--frame", "HTTP has its own framing", "leave --frame out");
        var body = TextValues.Unescape(parsed.GetValue(_body)!, settings.Encoding);
        var seedExact = parsed.GetValue(_seedExact);
        return c => AnswerAsync(c, body, seedExact, log);
    }

    private static async Task AnswerAsync(Connection connection, byte[] body, bool seedExact, ServeLog log)
    {
        if (await HttpRequest.ReadAsync(connection) is not { } request)
            return;
        if (log.WantsMessages)
            log.Received(connection, Encoding.UTF8.GetBytes(request.Refusal ?? $"{request.Method} {request.Target}"));
        if (seedExact && request.Refusal is null)
            await connection.SendAsync(SeedResponse);
        else if (request.Refusal is { } refusal)
            await request.AnswerAsync(connection, refusal, HttpRequest.PlainText,
                Encoding.ASCII.GetBytes(refusal + "\n"));
        else
            await request.AnswerAsync(connection, "200 OK", HttpRequest.PlainText, body);
    }
}
