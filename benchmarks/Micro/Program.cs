using BenchmarkDotNet.Running;
using Mortise.Benchmarks;

// ./build.sh bench micro [--filter PATTERN]
BenchmarkSwitcher
    .FromTypes([typeof(FramingBench), typeof(PipesBench), typeof(BufferBench), typeof(EndpointBench)])
    .Run(args);
