#!/usr/bin/env bash
# Runs make targets one after the other, says how long each took, and stops at
# the first that fails. Usage: steps.sh TARGET...
set -uo pipefail
cd "$(dirname "$0")/.."
for step in "$@"; do
  echo "==> make $step"
  start=$SECONDS
  if ! make --no-print-directory "$step"; then
    echo "==> make $step FAILED after $((SECONDS - start)) s" >&2
    exit 1
  fi
  echo "==> make $step done in $((SECONDS - start)) s"
done
