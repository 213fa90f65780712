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
items() { # KEY NAME: the same of a list, one a line
  awk -v key="\"$1\":" -v name="\"name\": \"$2\"," '
    index($0, name) { inside = 1 }
    inside && within && /\]/ { exit }
    within { gsub(/[ ",]/, ""); print }
    inside && index($0, key) { if (/\]/) exit; within = 1 }' <<<"$list"
}
linked() { # TEXT: with its papers as links
  sed -E 's/arXiv ([0-9]{4}\.[0-9]{5})/[arXiv \1](https:\/\/arxiv.org\/abs\/\1)/g' <<<"$1"
}
console() { # COMMAND...: how it is called and what it prints
  echo '```console'
  echo "\$ pipewright $*"
  (cd "$folder" && COLUMNS=100 "$program" "$@" 2>&1) || true
  echo '```'
}
described() { # OPTION: what it is, and where it is named on the command line
  case $1 in
  chunks) echo "\`--chunks V\`: stages per rank, default 2" ;;
  group) echo "\`--group G\`: micro-batches per group, default P; or \`megatron\` or \`pytorch\`, whose rules then hold" ;;
  waves) echo "\`--waves w\`: waves, 2w stages per rank; default 1" ;;
  pieces) echo "\`--pieces k\`: pieces of each sequence, default 2" ;;
  update_every) echo "\`--update-every k\`: micro-batches between two updates" ;;
  reverse) echo "\`--reverse\`: micro-batches of the backwards in descending order" ;;
  *) echo "scripts/schedule_pages.sh: option $1 is not described" >&2 && exit 1 ;;
  esac
}
example_of() { # OPTION: a value that changes its figures; none for --reverse, which changes none
  case $1 in
  chunks) echo "--chunks 4" ;;
  group) echo "--group 8" ;;
  waves) echo "--waves 2" ;;
  pieces) echo "--pieces 4" ;;
  update_every) echo "--update-every 8" ;;
  esac
}

names=$(sed -n 's/^ *"name": "\(.*\)",$/\1/p' <<<"$list")
size="--ranks 4 --microbatches 8"

source_of() { # NAME
  echo "## Source"
  echo
  local papers titles i
  IFS='|' read -r -a papers <<<"$(field paper "$1" | sed 's/; /|/g')"
  IFS='|' read -r -a titles <<<"$(field title "$1" | sed 's/; /|/g')"
  for i in "${!papers[@]}"; do
    echo "* $(linked "${papers[i]}" | sed '/arXiv\|github/!s/^[a-z]/\U&/')${titles[i]:+: *${titles[i]}*}"
  done
  echo "* Order: $(field follows "$1")."
  echo "* Elsewhere: $(field differs "$1")."
  echo
}

cost_of() { # NAME
  echo "## Cost"
  echo
  echo "* Bubble of an iteration: $(field bubble "$1")"
  span=$(field span_bubble "$1")
  [ -z "$span" ] || echo "* Bubble of the longest rank's span: $span"
  echo "* Peak activations, in micro-batches, at rank r: $(field peak "$1")"
  echo
  console schedule show "$1" $size
  echo
}

use_of() { # NAME
  echo "## Use"
  echo
  local options limits others examples=
  options=$(items options "$1") limits=$(field limits "$1")
  for option in $options; do
    echo "* $(described "$option")"
    examples="$examples $(example_of "$option")"
  done
  echo "* ${limits:-Any number of ranks and micro-batches is taken}"
  echo
  if [ -n "$limits" ]; then
    console schedule show "$1" $(field refused "$1")
    echo
  fi
  if [[ $options == *reverse* ]]; then
    console schedule show "$1" --ranks 2 --microbatches 3 --reverse
    echo
  fi
  [ "$1" != forward-only ] || return 0
  others=$(items related "$1" | grep -v forward-only | paste -sd ,)
  console compare --schedules "$1,$others" $size --backward 2
  echo
  if [ -n "${examples// /}" ]; then
    console compare --schedules "$1,$others" --ranks 4 --microbatches 16 --backward 2 $examples
    echo
  fi
}

page_of() { # NAME
  echo "# $1"
  echo
  echo "$(field summary "$1" | sed 's/^[a-z]/\U&/')."
  echo
  echo "![$1 on 4 ranks, 8 micro-batches]($1.svg)"
  echo
  echo "$(field about "$1")."
  echo
  source_of "$1"
  cost_of "$1"
  use_of "$1"
  local see=
  for other in $(items related "$1"); do see="$see${see:+, }[$other]($other.md)"; done
  echo "See also $see; [all schedules](README.md)."
}

compared() { # A row for each schedule that trains, of compare's and show's figures
  local sizes="--ranks 8 --microbatches 16" rows name copies
  rows=$("$program" compare $sizes --backward 2 --no-timing --json | awk '
    { gsub(/[",]/, "") }
    $1 == "schedule:" { name = $2 }
    $1 == "stages:" { stages = $2 }
    $1 == "iteration_time:" { time = $2 }
    $1 == "bubble_fraction:" { bubble = $2 }
    $1 == "peak_activations:" && name != "" {
      printf "%s %d %g %.1f%% %g\n", name, stages, time, 100 * bubble, $2
      name = ""
    }')
  while read -r name stages time bubble peak; do
    copies=$("$program" schedule show "$name" $sizes --json |
      awk '/"weight_copies"/ { gsub(/,/, ""); if ($2 > most) most = $2 } END { printf "%g", most }')
    echo "| [$name]($name.md) | $((stages / 8)) | $time | $bubble | $peak | $copies |"
  done <<<"$rows"
}

readme() {
  cat <<'TEXT'
# Schedules

P ranks, M micro-batches, V stages per rank; F, B, I, W: time of one stage's forward, backward,
input gradient, weight gradient; F&B: of a forward and a backward that overlap. Bubbles are idle time
of an iteration, peaks micro-batches of a rank's activations, both for equal stages and no links. The
measures are defined in [definitions.md](../definitions.md).

| schedule | what it is | bubble | peak at rank r |
| --- | --- | --- | --- |
TEXT
  for name in $names; do
    bubble=$(field bubble "$name") peak=$(field peak "$name")
    echo "| [$name]($name.md) | $(field summary "$name") | ${bubble//|/\\|} | ${peak//|/\\|} |"
  done
  cat <<'TEXT'

## At one size

8 ranks and 16 micro-batches, every rank's share of the model taking 1 forwards and 2 backwards, half
of it for each gradient: without a bubble an iteration takes 48. Each option is left at its default.
Activations and weights are the busiest rank's; a copy is a rank's share of the model. Pairs that
overlap take the sum here; asynchronous schedules pay their bubble once in a run, not in every
iteration. The figures are those of `pipewright compare --ranks 8 --microbatches 16 --backward 2`.

| schedule | stages per rank | iteration | bubble | peak activations | copies of weights |
| --- | --- | --- | --- | --- | --- |
TEXT
  compared
  cat <<'TEXT'

With links, costs of a real model or a memory limit the order may change; `compare` takes a plan as
well. `pipewright schedule show NAME` draws a schedule of any size, `schedule export NAME --format svg
-o FILE` writes the picture, and `simulate`, `run` and `validate` take the name in a plan.
TEXT
}

for name in $names; do
  "$program" schedule export "$name" $size --format svg -o "$folder/$name.svg"
  page_of "$name" >"$folder/$name.md"
done
readme >"$folder/README.md"
