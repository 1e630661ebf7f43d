using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>Reads that are given up, tried or begun at the moment at which something else happens to them.</summary>
[Collection("alone")]
public sealed class GivingUpTests
{
    private const int Rounds = 2000;

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_read_whose_token_is_cancelled_as_it_begins_ends(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        var random = new Random(20261121);
        for (var round = 0; round < Rounds; round++)
        {
            using var giveUp = new CancellationTokenSource();
            var cancelling = Task.Run(giveUp.Cancel);
            Thread.SpinWait(random.Next(3000));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                () => ReadAsync(rig.Server, giveUp.Token).InTime());
            await cancelling;
        }
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_look_in_vain_does_not_get_into_the_way_of_the_read_behind_it(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        var random = new Random(20261121);
        for (var round = 0; round < Rounds; round++)
        {
            var sending = Task.Run(() => rig.Client.SendAsync(new byte[1]).AsTask());
            Thread.SpinWait(random.Next(3000));
            var isThere = rig.Server.Input.TryRead(out var result);
            Thread.SpinWait(random.Next(3000));
            if (!isThere)
                result = await rig.Server.Input.ReadAsync(Limits.Soon);
            Assert.Equal(1, result.Buffer.Length);
            rig.Server.Input.AdvanceTo(result.Buffer.End);
            await sending;
        }
    }

    private static async Task ReadAsync(Connection connection, CancellationToken cancellationToken) =>
        await connection.Input.ReadAsync(cancellationToken);
}
