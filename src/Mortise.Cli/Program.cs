using Mortise.Cli;

StandardOutput.Install();
return await CommandLine.RunAsync(args);
