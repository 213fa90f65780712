#!/usr/bin/env bash
# Writes docs/schedules/: a page and a picture for every schedule of the registry.
#
#   scripts/schedule_pages.sh PIPEWRIGHT [FOLDER]      FOLDER: default docs/schedules
#   scripts/schedule_pages.sh --check PIPEWRIGHT       exit 1 unless docs/schedules is current
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

if [ "${1:-}" = --check ]; then
  fresh=$(mktemp -d)
  trap 'rm -rf "$fresh"' EXIT
  "$0" "$2" "$fresh"
  # Pictures depend on gnuplot's version; their presence is enough.
  diff -r --exclude='*.svg' "$root/docs/schedules" "$fresh" &&
    diff <(cd "$root/docs/schedules" && ls) <(cd "$fresh" && ls) && exit 0
  echo "docs/schedules is not current: run scripts/schedule_pages.sh" >&2
  exit 1
fi

program=$(realpath "${1:?scripts/schedule_pages.sh PIPEWRIGHT [FOLDER]}")
folder=${2:-$root/docs/schedules}
mkdir -p "$folder"
rm -f "$folder"/*.md "$folder"/*.svg

list=$("$program" schedule list --json)
field() { # KEY NAME: the text of KEY in the entry called NAME; empty for null
  awk -v key="\"$1\":" -v name="\"name\": \"$2\"," '
    index($0, name) { inside = 1 }
    inside && index($0, key) {
      sub(/^[^:]*: /, ""); sub(/,$/, ""); gsub(/^"|"$/, "")
      print $0 == "null" ? "" : $0
      exit
    }' <<<"$list"
}

names=$(sed -n 's/^ *"name": "\(.*\)",$/\1/p' <<<"$list")
{
  echo "# Schedules"
  echo
  echo "P ranks, M micro-batches, V stages per rank; F, B, I, W: time of one stage's forward, backward,"
  echo "input gradient, weight gradient. Bubbles are idle time of an iteration, peaks micro-batches of a"
  echo "rank's activations, both for equal stages and no links."
  echo
  echo "| schedule | what it is | bubble | peak at rank r |"
  echo "| --- | --- | --- | --- |"
} >"$folder/README.md"

for name in $names; do
  size="--ranks 4 --microbatches 8"
  bubble=$(field bubble "$name") peak=$(field peak "$name") span=$(field span_bubble "$name")
  printf '| [%s](%s.md) | %s | %s | %s |\n' "$name" "$name" "$(field summary "$name")" \
    "${bubble//|/\\|}" "${peak//|/\\|}" >>"$folder/README.md"
  "$program" schedule export "$name" $size --format svg -o "$folder/$name.svg"
  {
    echo "# $name"
    echo
    echo "$(field summary "$name"). Source: $(field paper "$name")."
    echo
    echo "![$name on 4 ranks, 8 micro-batches]($name.svg)"
    echo
    echo "* Bubble of an iteration: $bubble"
    [ -z "$span" ] || echo "* Bubble of the longest rank's span: $span"
    echo "* Peak activations: $peak"
    echo
    echo '```console'
    echo "\$ pipewright schedule show $name $size"
    (cd "$folder" && COLUMNS=100 "$program" schedule show "$name" $size)
    echo '```'
  } >"$folder/$name.md"
done
