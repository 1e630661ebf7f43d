using Mortise.Errors;

namespace Mortise.Returning;

/// <summary>The words for messages that did not arrive for certain.</summary>
internal static class Undelivered
{
    public static UndeliveredException Unknown(string operation, string at, ConnectionException why) => new(operation,
        at, SendOutcome.Unknown, why.Symbol, operation == "request"
            ? "the connection ended before the reply, so the peer has handled the request or not"
            : "the connection ended while the message was on its way, so the peer has it or not",
        "send it again only if the peer can tell a repetition", why);

    public static UndeliveredException Down(string operation, string at, Exception? why) => new(operation, at,
        SendOutcome.NeverSent, "ENOTCONN", "there is no connection, and the client does not wait for one",
        "choose WhileDown.Wait or WhileDown.Buffer, or try again later", why);

    public static UndeliveredException Disposed(string operation, string at, Exception? why) => new(operation, at,
        SendOutcome.NeverSent, "ESHUTDOWN", "the client was disposed before the message was sent",
        "send before disposing, and see whether SocketClientOptions.DrainTimeout is enough", why);

    public static UndeliveredException TooMany(string operation, string at, Exception? why) => new(operation, at,
        SendOutcome.NeverSent, "EAGAIN", $"{WhileDown.CallsMax} calls wait for a connection already",
        "await them, or choose WhileDown.Fail", why);

    public static UndeliveredException Full(string at, long bytes, long held, long bytesMax, Exception? why) => new(
        "send", at, SendOutcome.NeverSent, "ENOBUFS", $"the message has {bytes} bytes, and {held} of at most "
        + $"{bytesMax} are kept already", "give WhileDown.Buffer more, or send less while there is no connection", why);

    public static UndeliveredException Late(string at, TimeSpan timeout, Exception? why) => new("request", at,
        SendOutcome.NeverSent, "ETIMEDOUT", $"it could not be sent within {timeout.TotalSeconds:0.###} s",
        "see the state of the client: is there a connection, and does the peer read?", why);

    /// <summary>A cancellation that tells what became of the message.</summary>
    public static OperationCanceledException Cancelled(string operation, string at, SendOutcome outcome,
        CancellationToken token) => new(null, new UndeliveredException(operation, at, outcome, "ECANCELED",
            outcome == SendOutcome.NeverSent ? "cancelled before the message was sent"
                : "cancelled after the message was written: it still leaves, or the connection ends"), token);

    public static ConnectionException Ended<T>(Session<T> session) =>
        Failures.Closed("recv", session.RemoteEndpoint.ToString(), session.CloseReason
            ?? session.Connection.InputEndedFor ?? CloseReason.Eof);
}
