using Mortise.Client;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Transports;
using Xunit;

namespace Mortise.Tests.Client;

/// <summary>Several addresses of one name, by a clock that the test moves and a network that obeys.</summary>
public sealed class AddressRaceTests
{
    private static readonly Endpoint Name = Endpoint.Parse("tcp://many.example:9000");
    private static readonly Endpoint[] Three =
    [
        Endpoint.Parse("tcp://[2001:db8::1]:9000"), Endpoint.Parse("tcp://192.0.2.1:9000"),
        Endpoint.Parse("tcp://192.0.2.2:9000"),
    ];

    private readonly ManualTime _time = new();
    private readonly ToldTransport _network = new();

    [Fact]
    public async Task Each_address_has_a_head_start_and_the_first_answer_wins()
    {
        var racing = RaceAsync();
        Assert.Equal(Three[..1], _network.Asked);
        _time.Advance(TimeSpan.FromMilliseconds(249));
        Assert.Single(_network.Asked);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        await Limits.UntilAsync(() => _network.Asked.Count == 2, "the second address did not join");
        var (winner, _) = await PairAsync();
        _network.Answer(1, winner);
        Assert.Same(winner, await racing.InTime());
        Assert.Equal(Three[..2], _network.Asked);
        Assert.True(_network.IsCancelled(0));
        winner.Abort();
    }

    [Fact]
    public async Task A_late_winner_is_closed()
    {
        var racing = RaceAsync();
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await Limits.UntilAsync(() => _network.Asked.Count == 2, "the second address did not join");
        var (winner, _) = await PairAsync();
        var (late, _) = await PairAsync();
        _network.Answer(1, winner);
        await racing.InTime();
        _network.Answer(0, late);
        await Limits.UntilAsync(() => late.CloseReason == CloseReason.Abort, "the late winner was left open");
        Assert.Null(winner.CloseReason);
        winner.Abort();
    }

    [Fact]
    public async Task A_failure_lets_the_next_address_start_at_once_and_the_error_lists_them_all()
    {
        var racing = RaceAsync();
        for (var i = 0; i < 3; i++)
        {
            await Limits.UntilAsync(() => _network.Asked.Count == i + 1, $"address {i} was not tried");
            _network.Refuse(i);
        }

        var error = await Assert.ThrowsAsync<ConnectException>(() => racing.InTime());
        Assert.Equal(3, error.Attempts.Count);
        Assert.Equal(["[2001:db8::1]:9000", "192.0.2.1:9000", "192.0.2.2:9000"], error.Attempts.Select(a => a.Address));
        Assert.All(error.Attempts, a => Assert.Equal("ECONNREFUSED", a.Symbol));
        Row.Observed("D06", $"3 addresses tried in order, 250 ms head start each: {error.Message}");
    }

    [Fact]
    public async Task No_free_descriptor_is_told_as_that_and_not_as_a_silent_peer()
    {
        var ledger = new DescriptorLedger(limit: 66, inUse: 0);
        Assert.Equal(2, ledger.Capacity);
        Assert.True(ledger.IsScarce);
        Assert.True(ledger.TryClaim() && ledger.TryClaim());
        var options = new ClientOptions();
        options.Transport.Time = _time;
        var race = new AddressRace(_network, options, Name, ledger);
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5), _time);
        var racing = race.RunAsync(Three, patience.Token).AsTask();
        _time.Advance(TimeSpan.FromSeconds(1));
        await Task.Yield();
        _time.Advance(TimeSpan.FromSeconds(4));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => racing.InTime());
        Assert.Empty(_network.Asked);
        var error = race.TimedOut(TimeSpan.FromSeconds(5));
        Assert.Equal(("EMFILE", 24), (error.Symbol, error.Errno));
        Assert.Contains("2 are sockets of this program, of a limit of 66", error.Message);
        Assert.Contains("ulimit -n", error.Message);
        Assert.DoesNotContain("firewall", error.Message);
        Assert.All(error.Attempts, a => Assert.Equal("EMFILE", a.Symbol));
    }

    [Fact]
    public async Task A_descriptor_that_becomes_free_lets_the_attempt_begin()
    {
        var ledger = new DescriptorLedger(limit: 65, inUse: 0);
        Assert.True(ledger.TryClaim());
        var options = new ClientOptions();
        options.Transport.Time = _time;
        var racing = new AddressRace(_network, options, Name, ledger).RunAsync(Three[..1], Limits.Soon).AsTask();
        Assert.Empty(_network.Asked);
        ledger.Release();
        await Limits.UntilAsync(() => _network.Asked.Count == 1, "it did not begin");
        _network.Refuse(0);
        var error = await Assert.ThrowsAsync<ConnectException>(() => racing.InTime());
        Assert.Single(error.Attempts);
        Assert.Null(error.InnerException);   // not one ConnectException in another
        Assert.Equal(0, ledger.Claimed);
    }

    [Fact]
    public void The_ledger_is_scarce_when_fewer_than_256_are_left()
    {
        var ledger = new DescriptorLedger(limit: 1024, inUse: 0);
        while (ledger.Capacity - ledger.Claimed > 256)
            ledger.TryClaim();
        Assert.False(ledger.IsScarce);
        ledger.TryClaim();
        Assert.True(ledger.IsScarce);
        ledger.Release();
        Assert.False(ledger.IsScarce);
    }

    private Task<Connection> RaceAsync()
    {
        var options = new ClientOptions();
        options.Transport.Time = _time;
        return new AddressRace(_network, options, Name).RunAsync(Three, Limits.Soon).AsTask();
    }

    private static async Task<(Connection Client, Connection Server)> PairAsync()
    {
        var network = new MemoryNetwork();
        var place = Endpoint.Parse("mem:race");
        using var listener = SocketServer.Listen(place, new TransportOptions { Memory = network });
        var client = await SocketClient.ConnectAsync(place, o => o.Transport.Memory = network);
        Assert.True(listener.TryAccept(out var server));
        return (client, server);
    }

    private sealed class ToldTransport : Transport
    {
        private readonly List<(Endpoint Endpoint, TaskCompletionSource<Connection> Answer, CancellationToken Token)>
            _asked = [];

        public IReadOnlyList<Endpoint> Asked => [.. _asked.Select(a => a.Endpoint)];

        public override string Name => "told";

        public override bool Carries(EndpointKind kind) => true;

        public override Listener Listen(Endpoint endpoint, TransportOptions options) =>
            throw new NotSupportedException();

        public override ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
            CancellationToken cancellationToken)
        {
            var answer = new TaskCompletionSource<Connection>();
            _asked.Add((endpoint, answer, cancellationToken));
            return new(answer.Task);
        }

        public bool IsCancelled(int attempt) => _asked[attempt].Token.IsCancellationRequested;

        public void Answer(int attempt, Connection connection) => _asked[attempt].Answer.SetResult(connection);

        public void Refuse(int attempt) => _asked[attempt].Answer.SetException(
            new ConnectException(_asked[attempt].Endpoint.ToString(), "ECONNREFUSED", "planted", null, 111));
    }
}
