#!/usr/bin/env bash
# tests/pack-check.sh FEED: installs the packages as a stranger would, in a new project outside the repository.
# Library: the first C# block of README.md (or the two-line echo server) must compile, run and echo a line.
# Command: `mortise --help` must answer from an installed tool.
set -euo pipefail

feed=$(readlink -f "$1")
readme=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../README.md
version=$(basename "$feed"/Mortise.[0-9]*.nupkg .nupkg)
version=${version#Mortise.}
stranger=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$stranger"' EXIT
fail() { echo "pack-check: $1" >&2; exit 1; }

cd "$stranger"
# Our own packages only from the feed; a package folder of its own, so that no older copy is taken for the new one.
export NUGET_PACKAGES=$stranger/packages
cat >nuget.config <<XML
<configuration>
  <packageSources><add key="mortise" value="$feed" /></packageSources>
  <packageSourceMapping>
    <packageSource key="mortise"><package pattern="Mortise*" /></packageSource>
    <packageSource key="nuget.org"><package pattern="*" /></packageSource>
  </packageSourceMapping>
</configuration>
XML
cat >app.csproj <<XML
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <Nullable>enable</Nullable>
  </PropertyGroup>
  <ItemGroup><PackageReference Include="Mortise" Version="$version" /></ItemGroup>
</Project>
XML

# A free port in place of the README's: another server may hold 7007 on this machine.
port=$((20000 + RANDOM % 10000))
{
    echo "using Mortise;"
    if [[ -e $readme ]]; then
        sed -n '/^```csharp/,/^```/{/^```csharp/d;/^```/q;p}' "$readme" | sed '/^using Mortise;/d'
    fi
} >Program.cs
if [[ $(wc -l <Program.cs) == 1 ]]; then
    cat >>Program.cs <<<'await SocketServer.RunAsync("tcp://*:7007", c => c.Input.CopyToAsync(c.Output, c.Closed));'
fi
sed -i "s/:7007/:$port/" Program.cs

dotnet build -v:quiet -nologo -tl:off --disable-build-servers --output out || fail "a new project does not compile"
package=$NUGET_PACKAGES/mortise/$version
[[ -s $package/lib/net10.0/Mortise.xml ]] || fail "the package holds no XML documentation"
[[ -s $feed/Mortise.$version.snupkg ]] || fail "the feed holds no symbols"
dotnet out/app.dll & server=$!
answer=
for _ in {1..50}; do
    if exec 3<>"/dev/tcp/127.0.0.1/$port"; then
        echo "hello" >&3
        read -r -t 5 answer <&3 || true
        break
    fi 2>/dev/null
    sleep 0.1
done
[[ ${answer,,} == hello ]] || fail "the server answered '$answer' to hello"

dotnet tool install Mortise.Cli --version "$version" --tool-path tools --configfile nuget.config >tool.log 2>&1 ||
    { cat tool.log >&2; fail "the command does not install"; }
tools/mortise --help >help.txt || fail "mortise --help ended with $?"
grep -qi usage help.txt || fail "mortise --help shows no usage"
echo "pack-check: Mortise $version installs, compiles, echoes; mortise --help answers"
