namespace Mortise.Cli.Serve;

/// <summary>
/// Tells other programs that every endpoint listens, and on which port: one line each. It appears whole or not at all
/// (written aside, then renamed), and is removed at exit.
/// </summary>
internal sealed class ReadyFile : IDisposable
{
    private readonly string? _path;

    /// <exception cref="InvalidSettingException">There is no such directory.</exception>
    /// <exception cref="MortiseException">The file cannot be written: permission, space.</exception>
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
            if (File.Exists(aside))
                File.Delete(aside);
            throw Failure(path, e);
        }

        _path = path;
    }

    private static Exception Failure(string path, Exception cause)
    {
        var (flag, directory) = ($"--ready-file {path}", Path.GetDirectoryName(Path.GetFullPath(path)));
        return cause switch
        {
            DirectoryNotFoundException => new InvalidSettingException("serve", flag, "there is no such directory",
                $"create it first: `mkdir -p {directory}`"),
            UnauthorizedAccessException => new MortiseException("serve", flag, "EACCES", "permission denied",
                $"see who may write there: `namei -l {directory}`", 13, cause),
            _ when FailureReport.Named(cause, path) is MortiseException known => known,
            _ => new InvalidSettingException("serve", flag, cause.Message, "name another file"),
        };
    }

    public void Dispose()
    {
        if (_path is not null)
            File.Delete(_path);
    }
}
