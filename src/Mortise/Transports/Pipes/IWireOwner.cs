namespace Mortise.Transports.Pipes;

/// <summary>Whose bytes a reader and a writer carry: a connection's, or those of a layer of it.</summary>
internal interface IWireOwner
{
    void CountReceived(int bytes);

    void CountSent(int bytes);

    /// <summary>Ends the connection for a failure of the wire, and gives the exception to throw.</summary>
    Exception Fail(string operation, Exception error);

    /// <summary>Everything was sent, and nothing more will be.</summary>
    void ShutdownSendNow();
}
