#!/usr/bin/env bash
# ./build.sh VERB [ARGS]: everything that is done to this repository, one verb each.
#   build         restore and compile every project
#   test [ARGS]   build, then run the tests; ARGS go to the xunit.v3 runner (-class, -method, -namespace, …)
#   rows          which rows of the checklist were observed by a test, and which are still missing
#   map           draw docs/house.svg from the compiled assembly; fails when two rooms use each other
#   pack          fill artifacts/packages, then install from it as a stranger would
#   portable      compile the library for Windows and macOS, where it is not run here
#   bench WHAT [ARGS]  peers: the same job on every peer, side by side; scale: many connections; churn: short ones;
#                 broadcast: one speaks, all hear it; micro: frames and pipes (BenchmarkDotNet)
#   soak [NAME] [ARGS]  the reliability tests in full length, an hour and a half for all; soak help lists them
#   cluster       not built yet (exit 12)
set -euo pipefail

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
configuration=${CONFIGURATION:-Release} # one for everything: what is tested is what is shipped
results=$PWD/artifacts/test
ledger=$results/rows.tsv
test_minutes_max=10

build() {
    dotnet build Mortise.slnx --configuration "$configuration" -v:quiet -nologo -tl:off --disable-build-servers
}

# Outside programs that the tests talk to. A test that misses one is skipped, and says so.
install_missing_programs() {
    local programs=(nc:netcat-openbsd socat:socat curl:curl openssl:openssl wrk:wrk strace:strace ip:iproute2
        ps:procps unshare:util-linux haproxy:haproxy)
    local missing=() program
    for program in "${programs[@]}"; do
        command -v "${program%%:*}" >/dev/null || missing+=("${program#*:}")
    done
    ((${#missing[@]})) || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "not installed: ${missing[*]} (no root, or no apt-get); the tests that need them are skipped" >&2
        return 0
    fi
    echo "installing for the tests: ${missing[*]}" >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}"; } >"$results/apt.log" 2>&1 ||
        echo "apt-get failed (artifacts/test/apt.log); the tests that need them are skipped" >&2
}

# The last line is exactly "N passed, N failed, N skipped"; anything but passes (none at all included) is a failure.
run_tests() {
    rm -f "$results"/tests.{xml,trx}
    [[ $# -gt 0 ]] || rm -f "$ledger" # a filtered run adds to the ledger, a whole run begins a new one
    local status=0 passed=0 failed=0 skipped=0 errors=0 name
    # Poisoned: a buffer that is used after its return is seen at once (cf. Netty's paranoid leak detection).
    MORTISE_POISON=1 MORTISE_ROWS_FILE=$ledger timeout --kill-after=10 "${test_minutes_max}m" \
        dotnet exec "tests/Mortise.Tests/bin/$configuration/net10.0/Mortise.Tests.dll" \
        -noLogo -noColor -noAutoReporters \
        -xml "$results/tests.xml" -trx "$results/tests.trx" "$@" </dev/null || status=$?
    [[ $status != 124 && $status != 137 ]] || echo "stopped: the tests ran longer than $test_minutes_max minutes" >&2
    if [[ -s $results/tests.xml ]]; then
        local counts
        counts=$(grep -o -m1 '<assembly .*' "$results/tests.xml" | head -n 1)
        for name in passed failed skipped errors; do
            [[ $counts =~ \ $name=\"([0-9]+)\" ]] && printf -v "$name" %s "${BASH_REMATCH[1]}"
        done
        failed=$((failed + errors))
    fi
    # A runner that died leaves no counts that explain its exit code: that is one failure more.
    ((status == 0 || failed > 0)) || failed=1
    ((passed + failed > 0)) || echo "no test ran: that is a failure" >&2
    echo "$passed passed, $failed failed, $skipped skipped"
    ((failed == 0 && passed > 0))
}

rows() {
    [[ -s $ledger ]] || { build && mkdir -p "$results" && run_tests || true; } >&2
    awk -F'\t' -v owned=tests/Mortise.Tests/rows.txt '
        BEGIN { while ((getline line < owned) > 0) if (line ~ /^[A-Z][0-9]+\t/) {
                    split(line, part, "\t"); order[++count] = part[1]; title[part[1]] = part[2] } }
        !seen[$0]++ { observed[$1] = observed[$1] sprintf("%s\t%s\t%s\n", $1, $2, $3) }
        END { for (i = 1; i <= count; i++) {
                  row = order[i]
                  if (row in observed) { printf "%s", observed[row]; found++ }
                  else missing = missing sprintf("%s\t%s\n", row, title[row]) }
              if (missing != "") printf "\nstill missing:\n%s", missing
              printf "\n%d of %d rows observed\n", found, count; exit found < count }' "$ledger"
}

pack() {
    rm -rf artifacts/packages
    local project
    for project in Mortise Mortise.Testing Mortise.Cli; do
        dotnet pack "src/$project" --configuration "$configuration" --output artifacts/packages \
            -v:quiet -nologo -tl:off --disable-build-servers
    done
    ls -1 artifacts/packages
    tests/pack-check.sh artifacts/packages
}

# Without the other systems' runtime packs, which a feed may lack (only trimming and AOT analysis ask for them), and
# with lock and object files of its own. What it proves: every call is there or guarded (CA1416 is an error).
portable() {
    local rid
    for rid in win-x64 osx-arm64; do
        dotnet build src/Mortise --configuration "$configuration" --runtime "$rid" --no-self-contained \
            -p:IsAotCompatible=false -p:NuGetLockFilePath="$PWD/artifacts/portable/$rid.lock.json" \
            --artifacts-path artifacts/portable -v:quiet -nologo -tl:off --disable-build-servers
        echo "$rid: artifacts/portable/bin/Mortise/${configuration,,}_$rid/Mortise.dll"
    done
}

bench() {
    local what=peers
    [[ ${1:-} == --* || $# == 0 ]] || { what=$1 && shift; }
    case $what in
        micro) dotnet run --configuration Release --project benchmarks/Micro -- "${@:---filter=*}" ;;
        *) dotnet run --configuration Release --project benchmarks/Peers -- "$what" "$@" ;;
    esac
}

# Not by "dotnet run": Ctrl+C and the exit code are the program's own.
soak() {
    dotnet build benchmarks/Peers --configuration Release -v:quiet -nologo -tl:off --disable-build-servers >&2
    exec benchmarks/Peers/bin/Release/net10.0/Mortise.Peers soak "$@"
}

verb=${1:-help}
shift || true
mkdir -p "$results"
case $verb in
    build) build ;;
    test) install_missing_programs && build && run_tests "$@" ;;
    rows) rows ;;
    map) build && MORTISE_ACCEPT_MAP=1 run_tests -class Mortise.Tests.Tidy.MapTests ;;
    pack) pack ;;
    portable) portable ;;
    bench) bench "$@" ;;
    soak) soak "$@" ;;
    cluster) echo "$verb: not built yet" >&2 && exit 12 ;;
    *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' build.sh >&2 && exit 2 ;;
esac
