namespace Mortise.Cli;

/// <summary>
/// A failure in the language that was asked for: the catalogue's words, and what the library says beside them about the
/// case at hand. What has no Chinese here stays English; the symbol in brackets leads to <c>mortise explain</c>.
/// </summary>
internal static class Wording
{
    public const string Chinese = "zh";

    private static readonly (string English, string Chinese)[] Phrases =
    [
        ("held by pid ", "占用者是 pid "),
        ("held by a process of another user, which only root can name", "由其他用户的进程占用，只有 root 能查到是谁"),
        ("its holder has just gone", "占用者刚刚退出"),
        ("a server answers on it", "已有服务器在那里应答"),
        ("this machine has ", "本机地址有 "),
        ("no process is listening: its server was killed and left the file behind, or does not accept yet",
            "没有进程在监听：服务器被杀死后留下了套接字文件，或尚未开始接受连接"),
        ("look at the Unix listeners with `ss -lx`, then start the server",
            "用 `ss -lx` 查看 Unix 监听套接字，然后启动服务器"),
        ("nothing came for ", "没有收到任何数据，已等待 "),
        ("the peer neither answered nor closed; --timeout T waits longer",
            "对端既没有应答也没有关闭；用 --timeout T 等得更久"),
        ("no answer came within ", "没有收到应答，期限 "),
        ("the catalogue does not know it", "目录中没有它"),
        ("did you mean ", "是否想写："),
        ("a server binds an address, not a name", "服务器绑定的是地址，不是名称"),
        ("resolve the name first, or use *:port for all addresses", "先解析名称，或用 *:port 监听所有地址"),
        ("it is not in this version", "本版本没有这一功能"),
        ("leave the flag out", "去掉这个选项"),
        ("`mortise explain --list` shows what there is", "`mortise explain --list` 列出全部条目"),
        ("this version explains errors, not topics yet", "本版本只解释错误，还没有专题"),
    ];

    private static readonly Dictionary<string, (string English, string Chinese)> Outcomes = new()
    {
        ["ECONNREFUSED"] = ("refused", "被拒绝"),
        ["ETIMEDOUT"] = ("timed out", "超时"),
        ["ENETUNREACH"] = ("unreachable", "不可达"),
        ["EHOSTUNREACH"] = ("unreachable", "不可达"),
        ["EHOSTDOWN"] = ("unreachable", "不可达"),
        ["ENETDOWN"] = ("unreachable", "不可达"),
        ["EACCES"] = ("not permitted", "没有权限"),
        ["EPERM"] = ("not permitted", "没有权限"),
        ["EADDRINUSE"] = ("cannot bind", "无法绑定"),
        ["EADDRNOTAVAIL"] = ("cannot bind", "无法绑定"),
    };

    /// <summary>Why it failed, and what to try.</summary>
    public static (string Reason, string? Hint) Of(MortiseException failure, string language)
    {
        var (reason, hint) = (failure.Reason, failure.Hint);
        if (language != Chinese)
            return (reason, hint);
        if (ErrorCatalogue.TryFind(failure.Symbol, out var entry))
        {
            reason = reason.Replace(entry.English.Meaning, entry.Chinese.Meaning, StringComparison.Ordinal);
            hint = hint == entry.English.HintFor(failure.Operation) ? entry.Chinese.HintFor(failure.Operation) : hint;
        }

        foreach (var (english, chinese) in Phrases)
        {
            reason = reason.Replace(english, chinese, StringComparison.Ordinal);
            hint = hint?.Replace(english, chinese, StringComparison.Ordinal);
        }

        return (reason, hint);
    }

    /// <summary>A connect's end in a word.</summary>
    public static string Outcome(string symbol, string language) =>
        Outcomes.TryGetValue(symbol, out var words) ? In(language, words.English, words.Chinese)
            : In(language, "failed", "失败");

    public static string In(string language, string english, string chinese) =>
        language == Chinese ? chinese : english;
}
