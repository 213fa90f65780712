#!/usr/bin/env bash
# All device tests and benchmarks of the CUDA backend, and one table of what was measured. Builds
# nothing and needs CUDA's libraries only.
#
#   bench/gpu.sh --pack FOLDER [BUILD]   makes the folder that can be copied to a machine with a GPU,
#                                        from what is built in BUILD (default build/release)
#   ./gpu.sh [--tiny] [--minutes N] [--logs FOLDER] [PART...]   in that folder
#
# Parts, all by default: tests exact products ops model peer. Ends within N minutes (default 8); what
# there is no time for is named. --tiny: small shapes, no marks: does it all run? Raw output is kept
# in FOLDER (default logs). Exit: 0; 1 a test failed or a mark was missed; 2 usage; 3 CUDA's libraries
# are missing or unfit; 77 no device, and nothing was run.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" = --pack ]; then
  shift
  exec "$here/gpu_pack.sh" "$@"
fi
usage() {
  sed -n '5,14s/^# \{0,1\}//p' "$here/gpu.sh" >&2
  exit 2
}
all_parts="tests exact products ops model peer" tiny="" minutes=8 logs=logs parts=""
while [ $# -gt 0 ]; do
  case $1 in
  --tiny) tiny=--tiny ;;
  --minutes) minutes=${2:?} && shift ;;
  --logs) logs=${2:?} && shift ;;
  *) [[ " $all_parts " == *" $1 "* ]] || usage && parts+=" $1" ;;
  esac
  shift
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || usage
parts=${parts:-$all_parts}
cd "$here" || exit 3
[ -x bin/pipewright ] || { echo "gpu.sh: this folder has no bin/pipewright; make one with bench/gpu.sh --pack FOLDER" >&2; exit 2; }
mkdir -p "$logs" && rm -f "$logs"/*.log "$logs/rows" || exit 3
logs=$(cd "$logs" && pwd)
outside=${LD_LIBRARY_PATH:-} # the peer runs with what the caller has
# shellcheck source=bench/gpu_libraries.sh
. "$here/gpu_libraries.sh"
export PW_CUDA_MODULE_FILE=$here/lib/pipewright/pipewright-cuda.so
limit=$((60 * minutes - 15))

# part NAME SECONDS COMMAND...: its output goes to NAME.log, its rows into the table.
part() {
  local name=$1 seconds=$2 left=$((limit - SECONDS)) status
  shift 2
  if [ $left -lt 10 ]; then
    printf 'skip\t%s\tno time left\n' "$name" >>"$logs/rows"
    return
  fi
  [ "$seconds" -lt $left ] || seconds=$left
  echo "== $name (at most $seconds s)" >&2
  timeout -k 5 "$seconds" "$@" >"$logs/$name.log" 2>&1
  status=$?
  grep -aE $'^(row|skip|test)\t' "$logs/$name.log" >>"$logs/rows"
  case $status in
  0) ;;
  77) printf 'skip\t%s\t%s\n' "$name" "$(reason "$logs/$name.log")" >>"$logs/rows" ;;
  124 | 137) printf 'test\t%s\tFAILED\tstopped after %s s\n' "$name" "$seconds" >>"$logs/rows" ;;
  *) printf 'test\t%s\tFAILED\tstatus %s: %s\n' "$name" "$status" "$(reason "$logs/$name.log")" >>"$logs/rows" ;;
  esac
}
# Its last words that are no rows.
reason() {
  grep -avE $'^(row|skip|test)\t' "$1" | grep -a . | tail -1 |
    sed -e 's/^skipped: //' -e 's/^1\.\.0 # SKIP //' -e 's/^pipewright: //'
}

# Is there a device at all?
bin/bench_cuda_products --tiny >"$logs/probe.log" 2>&1
status=$?
if [ $status -ne 0 ]; then
  why=$(reason "$logs/probe.log")
  if [ $status -eq 77 ] && [[ $why != *"cannot be loaded"* ]]; then
    echo "gpu.sh: nothing was run: $why" >&2
    exit 77
  fi
  echo "gpu.sh: $why${missing:+ (not found: $missing)}" >&2
  exit 3
fi

# Each device test is a program of its own.
run_tests() {
  local name program arguments
  while IFS=$'\t' read -r name program arguments; do
    # shellcheck disable=SC2086
    part "test-${name//\//-}" 60 "bin/$program" $arguments
    tail -1 "$logs/rows" 2>/dev/null | grep -qF "test-${name//\//-}" ||
      printf 'test\t%s\tpassed\t\n' "test-${name//\//-}" >>"$logs/rows"
  done <tests.list
}

for name in $parts; do
  case $name in
  tests) run_tests ;;
  exact) part exact 100 ./gpu_exact.sh bin/pipewright $tiny ;;
  products) part products 75 bin/bench_cuda_products $tiny ;;
  ops) part ops 60 bin/bench_cuda_ops $tiny ;;
  model) part model 200 ./gpu_model.sh bin/pipewright "$logs" $tiny ;;
  peer) part peer 75 env LD_LIBRARY_PATH="$outside" ./gpu_peer.sh "$logs" $tiny ;;
  esac
done

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | sed 's/^/device: /'
awk -F'\t' -v tiny="$tiny" -f gpu_table.awk "$logs/rows"
