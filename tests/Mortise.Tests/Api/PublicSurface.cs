using System.Reflection;

namespace Mortise.Tests.Api;

/// <summary>What a user of an assembly can name, as sorted lines that read like C#.</summary>
internal static class PublicSurface
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance
        | BindingFlags.Static | BindingFlags.DeclaredOnly;

    // What a record brings by itself; listing it would hide the rest.
    private static readonly string[] Synthesized = ["<Clone>$", "PrintMembers", "get_EqualityContract", "Deconstruct",
        "Equals", "GetHashCode", "ToString", "op_Equality", "op_Inequality", "EqualityContract"];

    public static string Of(Assembly assembly) => string.Concat(assembly.GetExportedTypes()
        .OrderBy(t => t.FullName, StringComparer.Ordinal)
        .Select(t => $"{Heading(t)}\n{string.Concat(Members(t).Select(m => $"    {m}\n"))}\n"));

    private static string Heading(Type type)
    {
        var kind = type.IsInterface ? "interface" : type.IsEnum ? "enum"
            : typeof(Delegate).IsAssignableFrom(type) ? "delegate"
            : type.IsValueType ? "struct" : "class";
        var modifier = kind != "class" ? "" : type is { IsAbstract: true, IsSealed: true } ? "static "
            : type.IsAbstract ? "abstract " : type.IsSealed ? "sealed " : "";
        var basis = new[] { type.BaseType }.Where(b => kind == "class" && b != typeof(object))
            .Concat(type.GetInterfaces().Where(i => i.IsPublic).OrderBy(i => i.Name, StringComparer.Ordinal))
            .Select(t => TypeText.Of(t!)).ToList();
        var bases = basis.Count == 0 || kind is "enum" or "delegate" ? "" : $" : {string.Join(", ", basis)}";
        return $"{modifier}{kind} {type.Namespace}.{TypeText.Of(type)}{bases}";
    }

    private static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum)
            return Enum.GetNames(type).Select(n => $"{n} = {Enum.Format(type, Enum.Parse(type, n), "d")}");
        if (typeof(Delegate).IsAssignableFrom(type))
            return [Method(type.GetMethod("Invoke")!)];
        var lines = from member in type.GetMembers(Declared)
                    where !IsSynthesized(type, member)
                    let line = Line(member)
                    where line is not null
                    orderby member.Name, line
                    select line;
        return lines;
    }

    private static string? Line(MemberInfo member) => member switch
    {
        ConstructorInfo { IsStatic: false } c when Seen(c) is { } access =>
            $"{access}{TypeText.NameOf(c.DeclaringType!)}({Parameters(c)})",
        MethodInfo { IsSpecialName: false } m when Seen(m) is not null => Method(m),
        MethodInfo m when m.Name.StartsWith("op_", StringComparison.Ordinal) && Seen(m) is not null => Method(m),
        PropertyInfo p => Property(p),
        EventInfo e when Seen(e.AddMethod!) is { } access =>
            $"{access}event {TypeText.Of(e.EventHandlerType!)} {e.Name}",
        FieldInfo { IsSpecialName: false } f when f.IsPublic || f.IsFamily =>
            $"{(f.IsLiteral ? "const " : f.IsStatic ? "static " : "")}{TypeText.Of(f)} {f.Name}"
            + (f.IsLiteral ? $" = {f.GetRawConstantValue()}" : ""),
        _ => null,
    };

    private static string Method(MethodInfo method) =>
        $"{Seen(method)}{Modifiers(method)}{TypeText.Of(method.ReturnParameter)} {method.Name}"
        + $"{TypeText.Arguments(method.GetGenericArguments())}({Parameters(method)})";

    private static string? Property(PropertyInfo property)
    {
        var accessors = new[] { property.GetMethod, property.SetMethod }.OfType<MethodInfo>()
            .Where(a => Seen(a) is not null).ToList();
        if (accessors.Count == 0)
            return null;
        var words = accessors.Select(a => a == property.GetMethod ? "get;"
            : a.ReturnParameter.GetRequiredCustomModifiers().Length > 0 ? "init;" : "set;");
        var index = property.GetIndexParameters();
        var name = index.Length == 0 ? property.Name : $"this[{string.Join(", ", index.Select(Parameter))}]";
        var type = TypeText.Of(property);
        return $"{Seen(accessors[0])}{Modifiers(accessors[0])}{type} {name} {{ {string.Join(" ", words)} }}";
    }

    private static string? Seen(MethodBase method) =>
        method.IsPublic ? "" : method.IsFamily || method.IsFamilyOrAssembly ? "protected " : null;

    private static string Modifiers(MethodInfo method) => method.IsStatic ? "static "
        : method.DeclaringType!.IsInterface ? ""
        : method.IsAbstract ? "abstract "
        : method.GetBaseDefinition() != method ? "override "
        : method is { IsVirtual: true, IsFinal: false } ? "virtual " : "";

    private static string Parameters(MethodBase method) => string.Join(", ", method.GetParameters().Select(Parameter));

    private static string Parameter(ParameterInfo parameter)
    {
        var pass = parameter.IsOut ? "out " : parameter.IsIn ? "in " : parameter.ParameterType.IsByRef ? "ref "
            : parameter.IsDefined(typeof(ParamArrayAttribute)) ? "params " : "";
        var otherwise = !parameter.HasDefaultValue ? "" : parameter.RawDefaultValue switch
        {
            null => " = default",
            string text => $" = \"{text}\"",
            var value => FormattableString.Invariant($" = {value}"),
        };
        return $"{pass}{TypeText.Of(parameter)} {parameter.Name}{otherwise}";
    }

    private static bool IsSynthesized(Type type, MemberInfo member) =>
        (type.GetMethod("<Clone>$") ?? type.GetMethod("PrintMembers", Declared)) is not null
        && Synthesized.Contains(member.Name);
}
