#!/usr/bin/env bash
# GPT of 1.3 billion parameters on four ranks that share one GPU: predicted against measured time and
# memory for each schedule, model FLOP utilisation, and what one rank waits between its actions.
#   gpu_model.sh PIPEWRIGHT LOGS [--tiny]
#
# What this build or device cannot do is skipped by name. Utilisation counts the FLOPs of the model
# alone (attention in full: PaLM, 2204.02311, appendix B) against the data sheet's bf16 rate.
set -uo pipefail
program=${1:?gpu_model.sh PIPEWRIGHT LOGS [--tiny]} logs=${2:?} tiny=${3:-}
examples=$(dirname "$0")/examples plan=gpt-1.3b.json steps=5 seconds=2
data=()
[ -z "$tiny" ] || { plan=gpt-tiny.json steps=2 seconds=0.05 data=(--data "$examples/README.md"); }
where=(--backend cuda --share-devices)
row() { printf 'row\t%s\t%s\t%s\t%s\t%s\n' "$@"; }
skip() { printf 'skip\t%s\t%s\n' "$1" "$2"; }
last_words() { tail -1 "$1" | sed 's/^pipewright: //'; }
number() { grep -oE "\"$1\": [-0-9.e+]+" <<<"$2" | grep -oE '[-0-9.e+]+$'; }

precision=bf16
if ! "$program" simulate "$examples/$plan" --precision $precision >/dev/null 2>"$logs/model.err"; then
  skip "model in $precision" "$(last_words "$logs/model.err")"
  precision=fp32
fi
where+=(--precision "$precision")

costs=$logs/model-costs.json
if ! "$program" profile "$examples/$plan" "${where[@]}" --seconds $seconds -o "$costs" >"$logs/model.out" 2>&1; then
  skip "model in $precision" "$(last_words "$logs/model.out")"
  exit 0
fi

batch=$(awk 'match ($0, /"batch": *[0-9]+/) { sub (/.*: */, "", $0); print $0 + 0 }' "$examples/$plan")
ranks=$(awk 'match ($0, /"ranks": *[0-9]+/) { sub (/.*: */, "", $0); print $0 + 0 }' "$examples/$plan")
best="" best_schedule=""
for schedule in gpipe 1f1b interleaved-1f1b zb-h1; do
  if ! json=$("$program" validate "$examples/$plan" "${where[@]}" "${data[@]}" --schedule $schedule \
    --costs "$costs" --steps $steps --json 2>"$logs/model.err"); then
    skip "predicted against measured, $schedule" "$(last_words "$logs/model.err")"
    continue
  fi
  echo "$json" >"$logs/model-$schedule.json"
  error=$(number relative_error "$json" | awk '{ e = 100 * $1; print e < 0 ? -e : e }')
  memory=$(paste <(number predicted_peak_memory_bytes "$json") <(number measured_peak_memory_bytes "$json") |
    awk '{ e = 100 * ($1 / $2 - 1); if (e < 0) e = -e; if (e > worst) worst = e } END { print worst + 0 }')
  row "$schedule in $precision, iteration time, predicted off measured" "$error" % '<=' 3
  row "$schedule in $precision, peak memory, predicted off measured, worst rank" "$memory" % '<=' 1
  time=$(number measured_iteration_time "$json")
  if [ -z "$best" ] || awk "BEGIN { exit !($time < $best) }"; then
    best=$time best_schedule=$schedule
  fi
done

if [ -n "$best" ]; then
  tokens=$(awk 'match ($0, /"tokens": *[0-9]+/) { t = substr ($0, RSTART, RLENGTH); sub (/.*: */, "", t); print t }' "$examples/$plan")
  rate=$(awk "BEGIN { print $batch * $tokens / $best }")
  row "model in $precision, $ranks ranks on one GPU, $best_schedule" "$rate" tokens/s - -
  printf '%s %s\n' "$precision" "$rate" >"$logs/model.rate"
  device=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1)
  case $device in
  *H100*) peak=$(number flops_half "$("$program" hardware show h100-80g-sxm --json)") ;;
  *H200*) peak=$(number flops_half "$("$program" hardware show h200 --json)") ;;
  *) peak="" ;;
  esac
  flops=$(number flops "$("$program" model show "$examples/$plan" --json)" | head -1)
  if [ $precision != bf16 ]; then
    skip "model FLOP utilisation" "the mark is for bf16, which this build does not train in"
  elif [ -z "$peak" ]; then
    skip "model FLOP utilisation" "no data sheet rate is known for ${device:-this device}"
  else
    row "model FLOP utilisation, $ranks ranks on one GPU, $best_schedule" \
      "$(awk "BEGIN { print 100 * $flops * $batch / $best / $peak }")" % '>=' 50
  fi
fi

# One rank waits for nobody: what its device timestamps leave between actions is launching.
if "$program" run "$examples/$plan" "${where[@]}" "${data[@]}" --ranks 1 --schedule 1f1b --steps 3 \
  --trace "$logs/model-trace.json" >"$logs/model.out" 2>&1; then
  json=$("$program" trace info "$logs/model-trace.json" --json)
  row "launch gaps between the actions of one rank, of the time" \
    "$(number bubble_fraction "$json" | head -1 | awk '{ print 100 * $1 }')" % '<=' 3
else
  skip "launch gaps between the actions of one rank" "$(last_words "$logs/model.out")"
fi

# Small kernels, where enqueueing them is what takes the time: plain steps and CUDA graphs of them.
small() { # NAME ARGUMENTS...: a row, and the parameters into $small_sha
  local json name=$1
  shift
  if ! json=$("$program" run "$examples/gpt-tiny.json" --data "$examples/README.md" --backend cuda --ranks 1 --schedule 1f1b \
    --steps $small_steps --json "$@" 2>"$logs/small.err"); then
    skip "$name" "$(last_words "$logs/small.err")"
    return
  fi
  small_sha+=" $(grep -oE '"parameters_sha256": "[0-9a-f]+"' <<<"$json")"
  row "$name" "$(number iteration_time "$json" | awk '{ print 1000 * $1 }')" ms - -
}
small_steps=200 small_sha=""
[ -z "$tiny" ] || small_steps=3
small "gpt-tiny on one rank, a step, plain"
small "gpt-tiny on one rank, a step, as a CUDA graph" --cuda-graphs
[ "$(tr ' ' '\n' <<<"$small_sha" | grep -c sha256)" = 0 ] ||
  printf 'test\tCUDA graphs, bits as without\t%s\t\n' \
    "$([ "$(grep -oE '"[0-9a-f]{64}"' <<<"$small_sha" | sort -u | wc -l)" = 1 ] && echo passed || echo FAILED)"
