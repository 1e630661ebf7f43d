using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using System.Reflection.PortableExecutable;

namespace Mortise.Tests.Tidy;

/// <summary>One room needs another; <paramref name="Because"/> is one pair of types that shows it.</summary>
internal sealed record Use(string User, string Used, string Because);

/// <summary>
/// The rooms of an assembly and who uses whom, as compiled: a type's room is the folder of the document that its debug
/// information names, a use is a reference in metadata or instructions. Text (comments, usings) plays no part.
/// </summary>
internal sealed class House
{
    /// <summary>The name under which files directly in src/Mortise appear: the facades.</summary>
    public const string Facades = "root";

    // The compiler's note of the documents that hold a type without any code (an interface, an enum).
    private static readonly Guid TypeDocuments = new("932E74BC-DBA9-4478-8D46-0F32A7BAB3D3");

    public required IReadOnlyList<string> Rooms { get; init; }

    public required IReadOnlyList<Use> Uses { get; init; }

    /// <summary>The house that these tests run against.</summary>
    public static House AsBuilt { get; } = Read(typeof(SocketServer).Assembly.Location);

    public static House Read(string assemblyPath)
    {
        using var image = new PEReader(File.OpenRead(assemblyPath));
        var metadata = image.GetMetadataReader();
        if (!image.TryOpenAssociatedPortablePdb(assemblyPath, File.OpenRead, out var symbols, out _))
            throw new FileNotFoundException($"no symbols beside {assemblyPath}");
        using (symbols)
        {
            var rooms = RoomsOfTypes(metadata, symbols!.GetMetadataReader());
            var mentions = new TypeMentions(image, metadata);
            var uses = from user in rooms
                       from used in mentions.Of(user.Key)
                       where rooms.ContainsKey(used) && rooms[used] != user.Value
                       let because = $"{Name(metadata, user.Key)} → {Name(metadata, used)}"
                       orderby user.Value, rooms[used], because
                       select new Use(user.Value, rooms[used], because);
            return new()
            {
                Rooms = [.. rooms.Values.Distinct().Order(StringComparer.Ordinal)],
                Uses = [.. uses.DistinctBy(u => (u.User, u.Used))],
            };
        }
    }

    /// <summary>Rooms that can be reached from themselves, each with the way back. A good house has none.</summary>
    public static IEnumerable<string> Circles(IEnumerable<Use> uses)
    {
        var next = uses.ToLookup(u => u.User, u => u.Used);
        foreach (var start in next.Select(n => n.Key).Order(StringComparer.Ordinal))
        {
            var ways = new Queue<string[]>([[start]]);
            var seen = new HashSet<string>();
            while (ways.TryDequeue(out var way))
            {
                foreach (var room in next[way[^1]].Where(seen.Add))
                    ways.Enqueue([.. way, room]);
                // The shortest circle is told once, by the room that comes first in the alphabet.
                if (way.Length > 1 && way[^1] == start && way.Min(StringComparer.Ordinal) == start)
                    yield return string.Join(" → ", way);
            }
        }
    }

    private static Dictionary<TypeDefinitionHandle, string> RoomsOfTypes(
        MetadataReader metadata, MetadataReader symbols)
    {
        var rooms = new Dictionary<TypeDefinitionHandle, string>();
        // A nested type comes after the type that declares it, so a closure inherits its room.
        foreach (var handle in metadata.TypeDefinitions)
        {
            var type = metadata.GetTypeDefinition(handle);
            var room = Documents(handle, type, symbols)
                .Select(d => Repository.RoomOf(symbols.GetString(symbols.GetDocument(d).Name)))
                .FirstOrDefault(r => r is not null);
            if (room is not null)
                rooms[handle] = room.Length == 0 ? Facades : room;
            else if (!type.GetDeclaringType().IsNil && rooms.TryGetValue(type.GetDeclaringType(), out var outer))
                rooms[handle] = outer;
        }
        return rooms;
    }

    private static IEnumerable<DocumentHandle> Documents(
        TypeDefinitionHandle handle, TypeDefinition type, MetadataReader symbols)
    {
        var found = new List<DocumentHandle>();
        foreach (var method in type.GetMethods())
            if (symbols.GetMethodDebugInformation(method).Document is { IsNil: false } document)
                found.Add(document);
        foreach (var note in symbols.GetCustomDebugInformation(handle).Select(symbols.GetCustomDebugInformation))
        {
            if (symbols.GetGuid(note.Kind) != TypeDocuments)
                continue;
            var blob = symbols.GetBlobReader(note.Value);
            while (blob.RemainingBytes > 0)
                found.Add(MetadataTokens.DocumentHandle(blob.ReadCompressedInteger()));
        }
        return found;
    }

    private static string Name(MetadataReader metadata, TypeDefinitionHandle handle)
    {
        var type = metadata.GetTypeDefinition(handle);
        while (!type.GetDeclaringType().IsNil)
            type = metadata.GetTypeDefinition(type.GetDeclaringType());
        return metadata.GetString(type.Name);
    }
}
