using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using Mortise.Tests.Tidy;

namespace Mortise.Tests.Errors;

/// <summary>
/// Which exceptions an assembly makes that are not ours, and in which outermost type, as compiled: every constructor
/// of a type named …Exception that an instruction names.
/// </summary>
internal static class BareExceptions
{
    public static IEnumerable<string> In(string assemblyPath)
    {
        using var image = new PEReader(File.OpenRead(assemblyPath));
        var metadata = image.GetMetadataReader();
        var found = new SortedSet<string>(StringComparer.Ordinal);
        foreach (var type in metadata.TypeDefinitions.Select(metadata.GetTypeDefinition))
            foreach (var method in type.GetMethods().Select(metadata.GetMethodDefinition))
                if (method.RelativeVirtualAddress != 0 && !IsException(metadata.GetString(type.Name)))
                    foreach (var token in IlOperands.Of(image.GetMethodBody(method.RelativeVirtualAddress)))
                        if (Made(metadata, token) is { } exception
                            && !IsReset(exception, metadata.GetString(type.Name)))
                            found.Add($"{exception} by {Outermost(metadata, type)}");
        found.RemoveWhere(f => f.Contains(" by <")); // types that the compiler adds to an assembly
        return found;
    }

    /// <summary>The compiler's iterators refuse IEnumerator.Reset.</summary>
    private static bool IsReset(string exception, string type) =>
        exception == "NotSupportedException" && type.Contains(">d__");

    /// <summary>The foreign exception that this token constructs, or null.</summary>
    private static string? Made(MetadataReader metadata, EntityHandle token)
    {
        if (token.Kind != HandleKind.MemberReference)
            return null;
        var member = metadata.GetMemberReference((MemberReferenceHandle)token);
        if (metadata.GetString(member.Name) != ".ctor" || member.Parent.Kind != HandleKind.TypeReference)
            return null;
        var name = metadata.GetString(metadata.GetTypeReference((TypeReferenceHandle)member.Parent).Name);
        return IsException(name) ? name : null;
    }

    private static string Outermost(MetadataReader metadata, TypeDefinition type)
    {
        while (!type.GetDeclaringType().IsNil)
            type = metadata.GetTypeDefinition(type.GetDeclaringType());
        return metadata.GetString(type.Name).Split('`')[0];
    }

    private static bool IsException(string name) => name.EndsWith("Exception", StringComparison.Ordinal);
}
