#!/usr/bin/env bash
# Installs the Debian packages that are missing.
# Usage: setup.sh run | test. Takes well under a second when all is there.
set -euo pipefail

run=(clamav-daemon ca-certificates)
test=("${run[@]}"
  squid-openssl c-icap vsftpd nginx-light chromium   # the programs around the node
  libc-icap-mod-virus-scan                           # the peer that bench/ measures against
  curl openssl                                       # clients and certificates
  zip p7zip-full brotli zstd xz-utils bzip2 libarchive-tools cabextract genisoimage  # makers of test files
  gcc libc6-dev git iproute2 procps)                 # race detector, version, sockets, processes

case "${1:-}" in
  run) want=("${run[@]}") ;;
  test) want=("${test[@]}") ;;
  *) echo "usage: $0 run|test" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
  echo "setup: this is not a Debian system; install the counterparts of: ${want[*]}" >&2
  exit 1
fi
have=$(dpkg-query -W -f='${Package} ${db:Status-Abbrev}\n' "${want[@]}" 2>/dev/null | awk '$2 == "ii" {print $1}' || true)
missing=()
for p in "${want[@]}"; do
  grep -qx "$p" <<<"$have" || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
  echo "setup: packages are missing, and only root can install them. Run:" >&2
  echo "  sudo sh -c '$install'" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"

# The packages' own services must not start: Sluice and the tests start what
# they need, on ports of their own. policy-rc.d is Debian's word for that.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! (apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}") >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "setup: apt-get failed (whole output: $log). Mend that, or run by hand: $install" >&2
  exit 1
fi
rm -f "$log"
