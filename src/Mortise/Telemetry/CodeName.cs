namespace Mortise.Telemetry;

/// <summary>
/// The name under which a person finds a method again. Lambdas and local functions are called
/// <c>&lt;Main&gt;b__0_1</c> or <c>&lt;&lt;Main&gt;$&gt;g__Price|0_0</c> by the C# compiler, in classes with such names
/// too; these spellings are not documented, and one that is unknown here is told as it is.
/// </summary>
internal static class CodeName
{
    private const string LocalFunction = ">g__", Lambda = ">b__";

    /// <summary><c>GameKind.PlayAsync</c>, <c>Program.Price</c>, <c>a lambda in Program.Start</c>.</summary>
    public static string Of(Delegate code)
    {
        var type = code.Method.DeclaringType;
        while (type is { DeclaringType: not null } && type.Name.StartsWith('<'))
            type = type.DeclaringType;
        var within = type is null or { FullName: null } ? "" : type.FullName.Replace('+', '.') + ".";
        return Readable(within, code.Method.Name);
    }

    /// <param name="within">The class and a dot, or nothing.</param>
    /// <param name="method">What the compiler called it.</param>
    internal static string Readable(string within, string method)
    {
        // A name may stand inside another: the outermost says the kind, the innermost who wrote it.
        var kind = Math.Max(method.LastIndexOf(Lambda, StringComparison.Ordinal),
            method.LastIndexOf(LocalFunction, StringComparison.Ordinal));
        if (kind < 0 || method[0] != '<')
            return within + method;
        var outer = method[1..kind];
        if (method.AsSpan(kind).StartsWith(LocalFunction))
        {
            var name = method[(kind + LocalFunction.Length)..];
            return within + name.Split('|')[0];
        }

        // What stands at the top of a file is in <Main>$, which nobody has written.
        var at = outer == "<Main>$" ? within.TrimEnd('.') : Readable(within, outer);
        return "a lambda in " + at;
    }
}
