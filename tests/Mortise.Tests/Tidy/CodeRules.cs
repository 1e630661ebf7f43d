using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Mortise.Tests.Tidy;

/// <summary>House rules about C# as the compiler parses it: methods, catches, namespaces, interfaces.</summary>
internal static class CodeRules
{
    private const int MethodLinesMax = 70;
    private static readonly string[] UnsafeRooms = ["src/Mortise/Transports/Kernel/",
        "src/Mortise/Transports/Loops/", "src/Mortise/Transports/Epoll/", "src/Mortise/Transports/Uring/",
        "src/Mortise/Transports/Linux/"];

    public static IEnumerable<string> Check(SourceFile file)
    {
        foreach (var node in Parse(file).DescendantNodesAndSelf())
            foreach (var finding in Judge(file, node))
                yield return $"{file.Path}:{Line(node)}: {finding}";
    }

    /// <summary>An interface that is not public has two implementers, or it is a detour.</summary>
    public static IEnumerable<string> CheckInterfaces(IEnumerable<SourceFile> files)
    {
        var types = files.SelectMany(f => Parse(f).DescendantNodes().OfType<TypeDeclarationSyntax>()
            .Select(type => (file: f, type))).ToList();
        var implemented = types.Where(t => t.type.BaseList is not null)
            .SelectMany(t => t.type.BaseList!.Types.Select(b => SimpleName(b.Type)))
            .CountBy(name => name).ToDictionary();
        foreach (var (file, type) in types)
        {
            var count = implemented.GetValueOrDefault(type.Identifier.Text);
            if (type is InterfaceDeclarationSyntax && !IsPublic(type) && count < 2)
                yield return $"{file.Path}:{Line(type)}: {type.Identifier.Text} has {count} implementers, at least 2";
        }
    }

    private static IEnumerable<string> Judge(SourceFile file, SyntaxNode node)
    {
        if (node is BaseMethodDeclarationSyntax or LocalFunctionStatementSyntax or AccessorDeclarationSyntax
            && Length(node) is var lines and > MethodLinesMax)
            yield return $"a method of {lines} lines, at most {MethodLinesMax}";
        if (node is CatchClauseSyntax { Block.Statements.Count: 0 } && !node.DescendantTrivia().Any(IsComment))
            yield return "an empty catch without a sentence that says why";
        if (node is NamespaceDeclarationSyntax)
            yield return "a namespace with braces; write it for the whole file";
        if (node.ChildTokens().Any(t => t.IsKind(SyntaxKind.UnsafeKeyword))
            && !UnsafeRooms.Any(room => file.Path.StartsWith(room, StringComparison.Ordinal)))
            yield return $"unsafe code outside {string.Join(" and ", UnsafeRooms)}";
        if (node is FieldDeclarationSyntax field && !IsPublic(field))
            foreach (var name in field.Declaration.Variables.Select(v => v.Identifier.Text))
                if (!FieldPrefixes(field).Any(p => HasPrefix(name, p)))
                    yield return $"the field {name}: {string.Join(" or ", FieldPrefixes(field))} comes first";
        if (node is BaseTypeDeclarationSyntax type)
        {
            if (TextRules.EmptyName().IsMatch(type.Identifier.Text))
                yield return $"{type.Identifier.Text}: the name says nothing";
            if (Repository.RoomOf(file.Path) is { } room && type.Parent is BaseNamespaceDeclarationSyntax space
                && Misplaced(type, space.Name.ToString(), room) is { } expected)
                yield return $"{type.Identifier.Text} is in namespace {space.Name}, expected {expected}";
        }
    }

    // One `using` serves our users: what is public is in Mortise. What is not has the name of its folder.
    private static string? Misplaced(BaseTypeDeclarationSyntax type, string actual, string room)
    {
        var folder = room.Length == 0 ? "Mortise" : "Mortise." + room.Replace('/', '.');
        // Parts of a partial type need not repeat the modifier: either place may be meant.
        if (!IsPublic(type) && type.Modifiers.Any(SyntaxKind.PartialKeyword) && actual == "Mortise")
            return null;
        var expected = IsPublic(type) ? "Mortise" : folder;
        return actual == expected ? null : expected;
    }

    // As dotnet/runtime writes them: _field, s_ of the type, t_ of the thread; what never changes is Pascal.
    private static string[] FieldPrefixes(FieldDeclarationSyntax field)
    {
        if (field.Modifiers.Any(SyntaxKind.ConstKeyword))
            return ["A-Z"];
        if (!field.Modifiers.Any(SyntaxKind.StaticKeyword))
            return field.Modifiers.Any(SyntaxKind.InternalKeyword) ? ["_", "A-Z"] : ["_"];
        return field.Modifiers.Any(SyntaxKind.ReadOnlyKeyword) ? ["A-Z", "s_"] : ["s_", "t_"];
    }

    private static bool HasPrefix(string name, string prefix) => prefix == "A-Z"
        ? char.IsAsciiLetterUpper(name[0])
        : name.StartsWith(prefix, StringComparison.Ordinal) && name.Length > prefix.Length
            && !char.IsAsciiLetterUpper(name[prefix.Length]);

    private static bool IsPublic(MemberDeclarationSyntax type) => type.Modifiers.Any(SyntaxKind.PublicKeyword);

    private static bool IsComment(SyntaxTrivia trivia) =>
        trivia.IsKind(SyntaxKind.SingleLineCommentTrivia) || trivia.IsKind(SyntaxKind.MultiLineCommentTrivia);

    private static string SimpleName(TypeSyntax type) => type switch
    {
        GenericNameSyntax generic => generic.Identifier.Text,
        QualifiedNameSyntax qualified => SimpleName(qualified.Right),
        _ => type.ToString(),
    };

    private static int Line(SyntaxNode node) => node.GetLocation().GetLineSpan().StartLinePosition.Line + 1;

    private static int Length(SyntaxNode node)
    {
        var span = node.GetLocation().GetLineSpan();
        return span.EndLinePosition.Line - span.StartLinePosition.Line + 1;
    }

    private static SyntaxNode Parse(SourceFile file) =>
        CSharpSyntaxTree.ParseText(file.Text, new CSharpParseOptions(LanguageVersion.Preview)).GetRoot();
}
