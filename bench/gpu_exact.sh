#!/usr/bin/env bash
# Trains examples/gpt-tiny.json for a few steps on a device in one rank, then under every schedule, on
# several ranks that share it, over each transport and policy: the parameters must have the same bits.
#   gpu_exact.sh PIPEWRIGHT [--tiny]
set -uo pipefail
program=${1:?gpu_exact.sh PIPEWRIGHT [--tiny]} tiny=${2:-} examples=$(dirname "$0")/examples
steps=5
[ -z "$tiny" ] || steps=2
sha() { # arguments of the run -> its parameters, or the reason why there are none
  "$program" run "$examples/gpt-tiny.json" --data "$examples/README.md" --backend cuda --share-devices --steps $steps --json "$@" 2>&1 |
    awk -F'"' '/"parameters_sha256"/ { sha = $4 } /^pipewright: / { why = $0 } END { print sha == "" ? why : sha }'
}
one=$(sha --ranks 1 --schedule gpipe)
if [[ ! $one =~ ^[0-9a-f]{64}$ ]]; then
  echo "${one#pipewright: }"
  exit 77
fi
schedules="gpipe 1f1b interleaved-1f1b zb-h1 zb-v dualpipe-v" same=0 runs=0
compare() {
  local got
  got=$(sha "$@")
  if [[ ! $got =~ ^[0-9a-f]{64}$ ]]; then
    printf 'skip\texact: %s\t%s\n' "$*" "${got#pipewright: }"
    return
  fi
  runs=$((runs + 1))
  [ "$got" = "$one" ] && same=$((same + 1)) && echo "same bits: $*" || echo "OTHER BITS: $*"
}
[ -z "$tiny" ] || schedules="1f1b zb-v"
for schedule in $schedules; do
  compare --ranks 2 --schedule "$schedule"
done
for schedule in gpipe 1f1b zb-h1; do
  [ -n "$tiny" ] || compare --ranks 4 --schedule "$schedule"
done
[ -z "$tiny" ] || schedules=1f1b
for policy in per-edge per-peer; do
  for schedule in $schedules; do
    compare --ranks 2 --schedule "$schedule" --transport nccl --p2p-policy $policy
  done
done
compare --ranks 2 --schedule gpipe --transport nccl --p2p-policy shared-stream
[ $same -eq $runs ] && outcome=passed || outcome=FAILED
printf "test\ttrained on several ranks, bits as on one\t%s\t%d of %d runs\n" "$outcome" $same $runs
