using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Errors;

/// <summary>The catalogue is whole: every name leads to its entry, every entry explains itself twice.</summary>
public sealed class CatalogueTests
{
    private static ErrorEntry Find(string text)
    {
        Assert.True(ErrorCatalogue.TryFind(text, out var entry), text);
        return entry;
    }

    [Theory]
    [InlineData("EADDRINUSE", "98", "10048", "WSAEADDRINUSE", "AddressAlreadyInUse")]
    [InlineData("ECONNREFUSED", "111", "10061", "wsaeconnrefused", "ConnectionRefused")]
    [InlineData("ECONNRESET", "104", "10054", "econnreset", "ConnectionReset")]
    [InlineData("ETIMEDOUT", "110", "10060", "WSAETIMEDOUT", "timedout")]
    [InlineData("EAGAIN", "11", "10035", "EWOULDBLOCK", "WouldBlock")]
    [InlineData("EOPNOTSUPP", "95", "10045", "ENOTSUP", "OperationNotSupported")]
    [InlineData("HOST_NOT_FOUND", "11001", "-2", "EAI_NONAME", "HostNotFound")]
    public void All_names_of_a_failure_lead_to_one_entry(params string[] names) =>
        Assert.Single(names.Select(Find).Distinct());

    [Fact]
    public void Every_entry_is_found_under_its_symbol_errno_and_Winsock_number()
    {
        foreach (var entry in ErrorCatalogue.All)
        {
            Assert.Same(entry, Find(entry.Symbol.ToLowerInvariant()));
            if (entry.Errno != 0)
                Assert.Same(entry, Find($" {entry.Errno} "));
            if (entry.Winsock != 0)
                Assert.Same(entry, Find(entry.Winsock.ToString()));
            if (entry.WinsockSymbol is { } name)
                Assert.Same(entry, Find(name));
            Assert.Equal(entry.Winsock != 0, entry.WinsockSymbol is not null);
        }
        var page = Find("98");
        Row.Observed("A16", $"98, EADDRINUSE and 10048 lead to one entry: {page.Symbol} {page.Errno} "
            + $"{page.WinsockSymbol} {page.Winsock}: {page.English.Meaning} / {page.Chinese.Meaning}");
    }

    [Fact]
    public void Every_entry_explains_itself_in_both_languages()
    {
        foreach (var entry in ErrorCatalogue.All)
        {
            foreach (var text in new[] { entry.English, entry.Chinese })
            {
                Assert.False(string.IsNullOrWhiteSpace(text.Meaning), entry.Symbol);
                Assert.False(text.Meaning.EndsWith('.') || text.Meaning.EndsWith('。'), entry.Symbol);
                Assert.InRange(text.Causes.Count, 1, 4);
                Assert.InRange(text.Tries.Count, 1, 4);
                Assert.All(text.Causes.Concat(text.Tries), line => Assert.False(string.IsNullOrWhiteSpace(line)));
            }
            Assert.False(HasHan(English(entry)), entry.Symbol);
            Assert.True(HasHan(entry.Chinese.Meaning), entry.Symbol);
            Assert.All(entry.Chinese.Causes.Concat(entry.Chinese.Tries),
                line => Assert.True(HasHan(line) || line.StartsWith("`"), line));
            // A translation has as many causes and tries as its original: neither language is the poor one.
            Assert.Equal(entry.English.Causes.Count, entry.Chinese.Causes.Count);
            Assert.Equal(entry.English.Tries.Count, entry.Chinese.Tries.Count);
        }
    }

    [Fact]
    public void Symbols_and_numbers_are_unique()
    {
        var all = ErrorCatalogue.All;
        Assert.Equal(all.Count, all.Select(e => e.Symbol.ToUpperInvariant()).Distinct().Count());
        Assert.DoesNotContain(all.Where(e => e.Errno != 0).GroupBy(e => e.Errno), g => g.Count() > 1);
        Assert.DoesNotContain(all.Where(e => e.Winsock != 0).GroupBy(e => e.Winsock), g => g.Count() > 1);
    }

    [Fact]
    public void Every_name_of_dotnet_has_an_entry()
    {
        foreach (var error in Enum.GetValues<SocketError>().Where(e => e != SocketError.Success))
        {
            var entry = ErrorCatalogue.From(error);
            Assert.Contains(entry, ErrorCatalogue.All);
            Assert.Same(entry, Find(error.ToString()));
            Assert.Same(entry, ErrorCatalogue.From(new SocketException((int)error)));
        }
    }

    [Fact]
    public void The_runtime_and_the_catalogue_agree_on_errno()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "errno values are those of Linux");
        // .NET gives back errno where it has one. TooManyOpenSockets stands for two: it says ENFILE, we EMFILE, which
        // is the far likelier one; TryAgain and NoData are the resolver's and have no errno.
        foreach (var error in Enum.GetValues<SocketError>().Except([SocketError.TooManyOpenSockets,
            SocketError.TryAgain]))
        {
            var native = new SocketException((int)error).NativeErrorCode;
            if (native is > 0 and < 200)
                Assert.Equal((error, native), (error, ErrorCatalogue.From(error).Errno));
        }
    }

    [Fact]
    public void Every_close_reason_has_an_entry()
    {
        foreach (var reason in Enum.GetValues<CloseReason>())
            Assert.Equal(reason.Name(), Find(reason.Name()).Symbol);
    }

    [Theory]
    [InlineData("4711", "E4711", 4711, 0)]
    [InlineData("10999", "E10999", 0, 10999)]
    [InlineData("EWHATEVER", "EWHATEVER", 0, 0)]
    [InlineData("0", "E0", 0, 0)]
    [InlineData("", "", 0, 0)]
    [InlineData("TimedOut,Fault", "TimedOut,Fault", 0, 0)]
    [InlineData("99999999999999999999", "99999999999999999999", 0, 0)]
    public void What_is_not_known_is_said_to_be_unknown(string text, string symbol, int errno, int winsock)
    {
        Assert.False(ErrorCatalogue.TryFind(text, out var entry));
        Assert.Equal((symbol, errno, winsock), (entry.Symbol, entry.Errno, entry.Winsock));
        Assert.Contains("does not know", entry.English.Meaning);
        Assert.True(HasHan(entry.Chinese.Meaning), entry.Symbol);
    }

    [Fact]
    public void The_language_is_chosen_by_its_tag()
    {
        var entry = Find("ECONNREFUSED");
        Assert.Same(entry.Chinese, entry.For("zh-CN"));
        Assert.Same(entry.Chinese, entry.For("ZH"));
        Assert.Same(entry.English, entry.For("en"));
        Assert.Same(entry.English, entry.For(""));
    }

    private static string English(ErrorEntry entry) =>
        string.Join('\n', [entry.English.Meaning, .. entry.English.Causes, .. entry.English.Tries]);

    private static bool HasHan(string text) => text.Any(c => c is >= (char)0x4e00 and <= (char)0x9fff);
}
