#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, four at a time with one
# worker each. Usage: fuzz.sh [TIME] [NAME-PATTERN]; TIME as go test's -fuzztime.
# Prints one line a target; a finding prints go test's report and fails at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${1:-60s} pattern=${2:-.}
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

try() {
  go test -run='^$' -fuzz="^$2\$" -fuzztime="$time" -fuzzminimizetime=10s -parallel=1 -timeout=15m "$1" >"$3" 2>&1
}

one() {
  local out="$log/${1//\//_}.$2"
  # A worker that is busy when the time ends can make go test fail with nothing
  # but "context deadline exceeded" (go.dev/issue/75804, mended in Go 1.27): that is no finding,
  # and the target gets its time once more.
  if try "$1" "$2" "$out" ||
    { grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out" && try "$1" "$2" "$out"; }; then
    printf 'fuzz ok    %s %s (%s)\n' "$1" "$2" "$(grep -o 'execs: [0-9]*' "$out" | tail -n 1)"
  else
    printf 'fuzz FAIL  %s %s\n' "$1" "$2"
    tail -n 60 "$out"
    return 1
  fi
}
export -f one try
export log time

targets=$(git ls-files -co --exclude-standard 'internal/*_test.go' 'cmd/*_test.go' |
  xargs grep -HoE '^func Fuzz[A-Z][A-Za-z0-9_]*' |
  sed -E 's#^(.*)/[^/]+:func (.*)#./\1 \2#' | grep -E -- "$pattern" | sort -u)
if [ -z "$targets" ]; then
  echo "fuzz: no target matches '$pattern'" >&2
  exit 1
fi
echo "fuzz: $(wc -l <<<"$targets") targets, $time each, four at a time"
if ! xargs -P 4 -L 1 bash -c 'one "$@"' one <<<"$targets"; then
  echo "fuzz: findings above; the failing input is kept in the package's testdata/fuzz" >&2
  exit 1
fi
