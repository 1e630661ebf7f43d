namespace Mortise.Cli.Serve;

/// <summary>
/// Tells other programs that every endpoint listens, and on which port: one line each. It appears whole or not at all
/// (written aside, then renamed), and is removed at exit. What stood there before is gone then, so it must be a file.
/// </summary>
internal sealed class ReadyFile : IDisposable
{
    private readonly string? _path;
    private readonly string _verb;

    /// <exception cref="InvalidSettingException">No such directory, or the path names something that is no plain
    /// file.</exception>
    /// <exception cref="MortiseException">The file cannot be written: permission, space.</exception>
    public ReadyFile(string verb, string? path, IEnumerable<Endpoint> endpoints)
    {
        _verb = verb;
        if (path is null)
            return;
        var aside = $"{path}.{Environment.ProcessId}";
        try
        {
            if (!IsReplaceable(path))
                throw new InvalidSettingException(verb, $"--ready-file {path}",
                    "it is a device, a pipe, a socket or a link, which would be replaced and then removed",
                    "name a file of its own");
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

    /// <summary>
    /// Only a plain file can be truncated. Asked of empty ones alone, which lose nothing by it: devices, pipes and
    /// sockets have no length. For reading too, because a pipe opened for writing alone waits for its reader.
    /// </summary>
    private static bool IsReplaceable(string path)
    {
        var file = new FileInfo(path);
        if (file.LinkTarget is not null)
            return false;
        if (!file.Exists || file.Length > 0)
            return true;
        try
        {
            using var handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
            RandomAccess.SetLength(handle, 0);
            return true;
        }
        catch (Exception e) when (e is IOException or NotSupportedException)
        {
            return false;
        }
    }

    private Exception Failure(string path, Exception cause)
    {
        var (flag, directory) = ($"--ready-file {path}", Path.GetDirectoryName(Path.GetFullPath(path)));
        return cause switch
        {
            DirectoryNotFoundException => new InvalidSettingException(_verb, flag, "there is no such directory",
                $"create it first: `mkdir -p {directory}`"),
            UnauthorizedAccessException => new MortiseException(_verb, flag, "EACCES", "permission denied",
                $"see who may write there: `namei -l {directory}`", 13, cause),
            _ when FailureReport.Named(cause, path) is MortiseException known => known,
            _ => new InvalidSettingException(_verb, flag, cause.Message, "name another file"),
        };
    }

    public void Dispose()
    {
        if (_path is not null)
            File.Delete(_path);
    }
}
