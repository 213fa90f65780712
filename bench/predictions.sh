#!/usr/bin/env bash
# How far predictions are off: gpipe and 1f1b on two pinned ranks, 2 to 16 micro-batches, each profiled,
# simulated and run. Prints a row each, the median error of the iteration time, and the largest error of
# a rank's peak memory.
#
#   bench/predictions.sh PIPEWRIGHT [PLAN [STEPS]]
set -euo pipefail
program=${1:?bench/predictions.sh PIPEWRIGHT [PLAN [STEPS]]}
plan=${2:-$(dirname "$0")/../examples/gpt-small.json} steps=${3:-12}

number() { grep -oE "\"$1\": [-0-9.e+]+" <<<"$2" | grep -oE '[-0-9.e+]+$'; } # every value of a key

rows=$(for schedule in gpipe 1f1b; do
  for microbatches in 2 4 8 16; do
    json=$("$program" validate "$plan" --schedule $schedule --microbatches $microbatches \
      --steps "$steps" --json)
    memory=$(paste <(number predicted_peak_memory_bytes "$json") \
      <(number measured_peak_memory_bytes "$json") |
      awk '{ e = 100 * ($1 / $2 - 1); if (e * e > w * w) w = e } END { printf "%+.2f", w }')
    echo "$schedule $microbatches $(number predicted_iteration_time "$json") \
$(number measured_iteration_time "$json") $(number relative_error "$json") $memory"
  done
done)

printf '%-9s %13s %12s %12s %8s %8s\n' schedule micro-batches predicted measured error memory
awk '{ printf "%-9s %13d %9.1f ms %9.1f ms %+7.1f%% %+7.2f%%\n", $1, $2, 1e3*$3, 1e3*$4, 100*$5, $6 }' <<<"$rows"
awk '{ e = $5 < 0 ? -$5 : $5; print 100 * e }' <<<"$rows" | sort -g |
  awk '{ a[NR] = $1 } END { printf "median error of the iteration time %.1f%%\n", (a[int((NR+1)/2)] + a[int(NR/2)+1]) / 2 }'
awk '{ m = $6 < 0 ? -$6 : $6; if (m > w) w = m } END { printf "largest error of a peak memory %.2f%%\n", w }' <<<"$rows"
