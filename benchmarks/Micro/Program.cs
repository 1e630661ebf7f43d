using BenchmarkDotNet.Running;
using Mortise.Benchmarks;

// dotnet run -c Release --project benchmarks/Micro -- --filter '*'
BenchmarkSwitcher.FromTypes([typeof(FramingBench), typeof(BufferBench), typeof(EndpointBench)]).Run(args);
