#!/usr/bin/env bash
# Packs gpu.sh's folder and runs it where no device is, then, where the fakes of tests/device are
# named, on them, whose figures mean nothing: the script works and its words are right.
#   gpu_test.sh BUILD [FAKES_FOLDER BODIES]
set -euo pipefail
build=${1:?gpu_test.sh BUILD [FAKES_FOLDER BODIES]} fakes=${2:-} bodies=${3:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
  echo "gpu_test.sh: $*" >&2
  exit 1
}
"$(dirname "$0")/gpu.sh" --pack "$folder" "$build"
cd /

status=0
text=$(env -i PATH="$PATH" CUDA_VISIBLE_DEVICES= "$folder/gpu.sh" 2>&1) || status=$?
echo "$text"
[ $status -eq 77 ] || fail "without a device the status is $status"
[[ $text =~ ^"gpu.sh: nothing was run: cuda: this machine has no "[^$'\n']*$ ]] || fail "without a device it says other words"

status=0
"$folder/gpu.sh" --no-such-option >/dev/null 2>&1 || status=$?
[ $status -eq 2 ] || fail "an unknown option has status $status"

[ -n "$fakes" ] || exit 0
# The bodies are there from the start: looked for by two ranks' first launches, they could be late.
text=$(env -i PATH="$PATH" LD_LIBRARY_PATH="$fakes" LD_PRELOAD="$bodies" CUDA_ON_CPU_DEVICES=1 \
  "$folder/gpu.sh" --tiny exact products ops 2>&1) || fail "on the fakes: $text"
echo "$text"
for words in "bits as on one" "products in bf16" "products in fp32" "attention gradient in bf16" "device waits for launches"; do
  [[ $text == *"$words"* ]] || fail "the table lacks a row: $words"
done
[[ $text != *FAILED* ]] || fail "a part failed"
