#!/usr/bin/env bash
# The whole loop on one machine: profile a small GPT, simulate it under three schedules, train it with
# two of them on real text, and hold the predictions against what was measured.
#
#   ./demo.sh                 a minute or two on two cores, after the packages are there
#   ./demo.sh --quick         the same with a tiny model, in seconds
#   ./demo.sh --data FILE     your own text instead of the licence texts of every Debian system
#   ./demo.sh --out FOLDER    where traces and pictures go; default demo-out
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

plan=$here/examples/gpt-small.json steps=60 measured=12 seconds=4 out=demo-out data=
while [ $# -gt 0 ]; do
  case $1 in
  --quick) plan=$here/examples/gpt-tiny.json steps=30 measured=6 seconds=0.3 ;;
  --data) data=$(realpath "${2:?--data needs a file}") && shift ;;
  --out) out=${2:?--out needs a folder} && shift ;;
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0" && exit 0 ;;
  *) echo "demo.sh: unknown option $1, see --help" >&2 && exit 2 ;;
  esac
  shift
done
out=$(realpath -m "$out")
mkdir -p "$out"

cd "$here"
if [ -n "${PW_PROGRAM:-}" ]; then # an existing build, as the tests have it
  pipewright=$PW_PROGRAM
else
  . scripts/packages.sh
  # shellcheck disable=SC2086
  require_packages $PW_BUILD_PACKAGES
  echo "Building"
  { cmake --preset release -DBUILD_TESTING=OFF && cmake --build --preset release; } >"$out/build.log" 2>&1 ||
    { tail -n 30 "$out/build.log" && exit 1; }
  pipewright=$here/build/release/bin/pipewright
fi

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }
options=(--costs "$out/costs.json")
[ -z "$data" ] || options+=(--data "$data")

say "1. What does each layer cost on this machine?"
"$pipewright" profile "$plan" -o "$out/costs.json" --seconds "$seconds"

say "2. What would each schedule cost? (simulated, two ranks)"
"$pipewright" compare "$plan" --costs "$out/costs.json" --schedules naive,gpipe,1f1b

for schedule in gpipe 1f1b; do
  say "3. Train with $schedule on two ranks"
  "$pipewright" run "$plan" "${options[@]}" --schedule "$schedule" --steps "$steps" \
    --trace "$out/run-$schedule.json"
done

say "4. Did the run do what was predicted?"
"$pipewright" validate "$plan" "${options[@]}" --schedules gpipe,1f1b --steps "$measured" \
  --trace-dir "$out"

for schedule in gpipe 1f1b; do
  for format in svg png; do
    "$pipewright" plot "$out/$schedule-simulated.json" "$out/$schedule-measured.json" \
      -o "$out/$schedule.$format"
  done
done

say "In $out"
echo "  gpipe.png, 1f1b.png (and .svg)            simulated above measured"
echo "  *-simulated.json, *-measured.json         open them in https://ui.perfetto.dev"
echo "  costs.json                                what each layer costs, for --costs"
