using System.Text.Json.Serialization;

namespace Mortise.Cli.Serve.Chat;

/// <summary>
/// What people and the chat say to each other: one type, as lines for terminals (<see cref="ChatLines"/>) and as JSON
/// for programs. Only <see cref="Kind"/> is always there.
/// </summary>
/// <param name="Kind">One of <see cref="ChatKinds"/>.</param>
/// <param name="Room">Where it is said, or who came or left.</param>
/// <param name="Name">Who says it, or to whom.</param>
/// <param name="Text">What is said, without control characters.</param>
/// <param name="Names">Members or rooms.</param>
/// <param name="Count">Messages missed, lines of history, members.</param>
internal sealed record ChatMessage(string Kind, string? Room = null, string? Name = null, string? Text = null,
    IReadOnlyList<string>? Names = null, long? Count = null);

/// <summary>The words that programs read and write; what comes from people is in the first group.</summary>
internal static class ChatKinds
{
    public const string Say = "say", Msg = "msg", Nick = "nick", Join = "join", Leave = "leave", Who = "who",
        Rooms = "rooms", Help = "help", Quit = "quit";

    public const string Welcome = "welcome", Joined = "joined", Left = "left", Renamed = "renamed", Here = "here",
        History = "history", Missed = "missed", Notice = "notice", Refused = "refused";

    /// <summary>A command that is none.</summary>
    public const string Unknown = "unknown";
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ChatMessage))]
internal sealed partial class ChatJson : JsonSerializerContext;
