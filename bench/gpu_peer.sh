#!/usr/bin/env bash
# The model of gpu_model.sh in PyTorch, and how much faster ours was, where both were in bf16.
#   gpu_peer.sh LOGS [--tiny]
set -uo pipefail
logs=${1:?gpu_peer.sh LOGS [--tiny]} tiny=${2:-}
if ! python3 -c 'import torch' 2>/dev/null; then
  echo "python3 has no PyTorch"
  exit 77
fi
# shellcheck disable=SC2086
python3 "$(dirname "$0")/gpu_peer_torch.py" $tiny | tee "$logs/peer.out" || exit 1
peer=$(awk -F'\t' '$1 == "row" && $3 > best { best = $3 } END { print best }' "$logs/peer.out")
if ! read -r precision ours 2>/dev/null <"$logs/model.rate"; then
  printf 'skip\tpipewright against PyTorch\tthe model part gave no figure\n'
elif [ "$precision" != bf16 ]; then
  printf 'skip\tpipewright against PyTorch\tthe peer is in bf16, pipewright was run in %s\n' "$precision"
else
  printf 'row\tpipewright against PyTorch at its fastest\t%s\tx\t>=\t1.1\n' \
    "$(awk "BEGIN { print $ours / $peer }")"
fi
