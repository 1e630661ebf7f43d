using Mortise.Cli;

if (DescriptorLimit.IsTooLow(out var files))
    return DescriptorLimit.Tell(files);
StandardOutput.Install();
return await CommandLine.RunAsync(args);
