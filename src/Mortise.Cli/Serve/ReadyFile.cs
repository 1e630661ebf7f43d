namespace Mortise.Cli.Serve;

/// <summary>
/// Tells other programs that every endpoint listens, and on which port: one line each. It appears whole or not at all
/// (written aside, then renamed), and is removed at exit.
/// </summary>
internal sealed class ReadyFile : IDisposable
{
    private readonly string? _path;

    /// <exception cref="InvalidSettingException">The file cannot be written.</exception>
    public ReadyFile(string? path, IEnumerable<Endpoint> endpoints)
    {
        if (path is null)
            return;
        var aside = $"{path}.{Environment.ProcessId}";
        try
        {
            File.WriteAllLines(aside, endpoints.Select(e => e.ToString()));
            File.Move(aside, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidSettingException("serve", $"--ready-file {path}", e.Message);
        }

        _path = path;
    }

    public void Dispose()
    {
        if (_path is not null)
            File.Delete(_path);
    }
}
