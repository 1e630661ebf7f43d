using Mortise.Sessions.Rates;
using Mortise.Testing;
using Xunit;

namespace Mortise.Tests.Sessions.Rates;

/// <summary>The arithmetic of rates, by a clock that the test moves.</summary>
public sealed class BucketTests
{
    private readonly ManualTime _time = new();

    [Fact]
    public void In_any_time_no_more_is_taken_than_the_rate_and_one_second_s_worth()
    {
        var random = new Random(5);
        for (var trial = 0; trial < 50; trial++)
        {
            var rate = Math.Pow(10, random.NextDouble() * 6 - 1);
            var bucket = new Bucket(rate, _time);
            _time.Advance(TimeSpan.FromMinutes(1)); // nothing is saved up
            var began = _time.Elapsed;
            for (var taken = 0; taken < 300;)
            {
                if (bucket.Until(1) <= TimeSpan.Zero)
                {
                    bucket.Take(1);
                    taken++;
                    var most = (_time.Elapsed - began).TotalSeconds * rate + Math.Max(1, rate);
                    Assert.True(taken <= most + 0.001, $"{taken} of {most} at {rate}/s");
                }
                else
                {
                    var wait = bucket.Until(1);
                    _time.Advance(TimeSpan.FromTicks(Math.Max(1, (long)(wait.Ticks * random.NextDouble()))));
                }
            }
        }
    }

    [Fact]
    public void What_was_overdrawn_is_paid_off_first()
    {
        var bucket = new Bucket(100, _time);
        Assert.Equal(-900, bucket.Take(1000));
        Assert.Equal(TimeSpan.FromSeconds(9), bucket.Until(0));
        _time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(TimeSpan.Zero, bucket.Until(0));
        Assert.False(bucket.IsFull);
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.True(bucket.IsFull);
        Assert.Equal(99, bucket.Take(1));
    }
}
