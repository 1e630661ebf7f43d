using System.Reflection;

namespace Mortise.Tests.Api;

/// <summary>Types as C# writes them: `ValueTask&lt;int&gt;`, `string?`, `T`.</summary>
internal static class TypeText
{
    private static readonly NullabilityInfoContext Nullability = new();

    private static readonly Dictionary<Type, string> Keywords = new()
    {
        [typeof(void)] = "void", [typeof(object)] = "object", [typeof(string)] = "string", [typeof(bool)] = "bool",
        [typeof(byte)] = "byte", [typeof(short)] = "short", [typeof(ushort)] = "ushort", [typeof(int)] = "int",
        [typeof(uint)] = "uint", [typeof(long)] = "long", [typeof(ulong)] = "ulong", [typeof(double)] = "double",
        [typeof(char)] = "char",
    };

    public static string Of(ParameterInfo parameter)
    {
        lock (Nullability) // the context keeps a cache and is not made for two threads
            return Annotated(parameter.ParameterType, Nullability.Create(parameter));
    }

    public static string Of(PropertyInfo property)
    {
        lock (Nullability)
            return Annotated(property.PropertyType, Nullability.Create(property));
    }

    public static string Of(FieldInfo field)
    {
        lock (Nullability)
            return Annotated(field.FieldType, Nullability.Create(field));
    }

    public static string Of(Type type)
    {
        if (type.IsByRef)
            return Of(type.GetElementType()!);
        if (Nullable.GetUnderlyingType(type) is { } value)
            return Of(value) + "?";
        if (type.IsArray)
            return Of(type.GetElementType()!) + "[]";
        if (Keywords.TryGetValue(type, out var word))
            return word;
        var outer = type is { IsNested: true, IsGenericParameter: false } ? NameOf(type.DeclaringType!) + "." : "";
        return outer + NameOf(type) + Arguments(type.GetGenericArguments());
    }

    public static string NameOf(Type type) => type.Name.Split('`')[0];

    public static string Arguments(Type[] arguments) =>
        arguments.Length == 0 ? "" : $"<{string.Join(", ", arguments.Select(Of))}>";

    // A generic reference type is annotated inside as well: Func<string?, Task>.
    private static string Annotated(Type type, NullabilityInfo info)
    {
        // An unconstrained T reads as nullable whether or not a question mark was written: say T.
        var mark = type is { IsValueType: false, IsByRef: false, IsGenericParameter: false }
            && info.ReadState == NullabilityState.Nullable ? "?" : "";
        var inside = info.GenericTypeArguments;
        return inside.Length > 0 && !type.IsByRef && !type.IsNested && Nullable.GetUnderlyingType(type) is null
            ? $"{NameOf(type)}<{string.Join(", ", inside.Select(i => Annotated(i.Type, i)))}>{mark}"
            : Of(type) + mark;
    }
}
