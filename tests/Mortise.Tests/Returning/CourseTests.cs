using Mortise.Returning;
using Xunit;

namespace Mortise.Tests.Returning;

/// <summary>Which endpoint is next, and after what pause: without a network and without time.</summary>
public sealed class CourseTests
{
    private static readonly Endpoint A = "tcp://127.0.0.1:1", B = "tcp://127.0.0.1:2", C = "tcp://127.0.0.1:3";
    private static readonly TimeSpan Stable = TimeSpan.FromSeconds(5);

    [Fact]
    public void Endpoints_are_tried_in_order_without_a_pause_and_all_of_them_again_after_one()
    {
        var course = New(A, B, C);
        Assert.Equal([(A, 0), (B, 0), (C, 0), (A, 100), (B, 0), (C, 0), (A, 200), (B, 0)], Take(course, 8));
    }

    [Fact]
    public void One_endpoint_is_tried_with_pauses_that_grow_to_their_limit() =>
        Assert.Equal([0, 100, 200, 400, 800, 1000, 1000], Take(New(A), 7).Select(n => n.PauseMs));

    [Fact]
    public void The_last_good_one_comes_first_after_the_first_pause_and_then_the_others_in_order()
    {
        var course = New(A, B, C);
        Take(course, 5); // the second round has come to B
        course.Ended(B, Stable);
        Assert.Equal([(B, 100), (A, 0), (C, 0), (B, 200), (A, 0)], Take(course, 5));
    }

    [Fact]
    public void A_connection_that_did_not_live_long_is_a_failed_attempt()
    {
        var course = New(A, B);
        for (var round = 0; round < 4; round++)
        {
            var (endpoint, pause) = course.Next();
            Assert.Equal((A, round == 0 ? 0 : 100 << round - 1), (endpoint, (int)pause.TotalMilliseconds));
            course.Ended(A, Stable - TimeSpan.FromTicks(1));
            Assert.Equal((B, TimeSpan.Zero), course.Next());
        }

        course.Ended(B, Stable);
        Assert.Equal([(B, 100), (A, 0)], Take(course, 2));
    }

    private static Course New(params Endpoint[] endpoints) => new(endpoints,
        Backoff.Exponential(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), random: () => 1), Stable);

    private static (Endpoint At, int PauseMs)[] Take(Course course, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => course.Next())
            .Select(n => (n.Endpoint, (int)n.Pause.TotalMilliseconds))];
}
