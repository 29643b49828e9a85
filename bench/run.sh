#!/usr/bin/env bash
# Measures bin/sluice side by side with c-icap and clamd and prints ratios as
# Markdown, which also goes to bench/results.md. About 20 minutes; -only hash, -rounds 1 and
# -d 1s make it shorter (all flags: bench/run.sh -h). Needs two processors: the
# generator takes the first, services the second; leave the machine alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(nproc)" -lt 2 ]; then
  echo "bench: two processors are needed, one for the load and one for the service" >&2
  exit 1
fi
scripts/setup.sh test
for program in load compare; do
  CGO_ENABLED=0 go build -trimpath -o "bin/bench-$program" "./bench/$program"
done
exec bin/bench-compare "$@"
