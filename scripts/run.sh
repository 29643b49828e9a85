#!/usr/bin/env bash
# Starts one node with its data in a folder, and says how to try it.
# Usage: run.sh DIR [more words for sluice run]
set -euo pipefail
cd "$(dirname "$0")/.."
data=$1
shift
mkdir -p "$data"
[ -e "$data/sluice.yaml" ] || bin/sluice settings init "$data/sluice.yaml"
cat <<T
Settings   $data/sluice.yaml   (edit it while the node runs: it is read again when it changes)
ICAP       icap://127.0.0.1:1344/reqmod and /respmod
Metrics    http://127.0.0.1:9344/metrics, /healthz, /readyz

Try it (c-icap-client is in Debian's package c-icap):
  c-icap-client -i 127.0.0.1 -p 1344 -s respmod -f README.md -v
  bin/sluice check http://example.com/ --data $data
  bin/sluice events --data $data

Behind Squid, in squid.conf:
  icap_enable on
  icap_preview_enable on
  icap_preview_size 4096
  icap_send_client_ip on
  icap_send_client_username on
  icap_service sluice_req reqmod_precache icap://127.0.0.1:1344/reqmod bypass=off
  icap_service sluice_resp respmod_precache icap://127.0.0.1:1344/respmod bypass=off
  adaptation_access sluice_req allow all
  adaptation_access sluice_resp allow all
Squid 5.7 of Debian 12 needs these as well (Squid bug 5352, see docs/guide.md):
  delay_pools 1
  delay_class 1 1
  delay_parameters 1 1000000000/1000000000
  delay_access 1 allow all

Ctrl-C stops the node.

T
exec bin/sluice run --data "$data" "$@"
