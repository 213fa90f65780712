#!/usr/bin/env bash
# includes_selftest.sh CHECKER FOLDER: plants one forbidden include at a time and expects a complaint.
set -euo pipefail
checker=$1
tree=$(mktemp -d "$2/includes.XXXXXX")
trap 'rm -rf "$tree"' EXIT

plant() { # FILE INCLUDE
  rm -rf "${tree:?}"/*
  mkdir -p "$tree/$(dirname "$1")" "$tree/$(dirname "$2")"
  : >"$tree/$2"
  echo "#include \"$2\"" >"$tree/$1"
}
expect() { # 0|1 FILE INCLUDE
  plant "$2" "$3"
  local got=0
  "$checker" "$tree" >/dev/null || got=1
  [ "$got" = "$1" ] || { echo "$2 including $3: expected $1, got $got"; exit 1; }
}
expect 0 sim/a.c plans/costs.h
expect 0 cli/a.c pipewright/validate.h
expect 0 exec/layers/a.c exec/b_private.h
expect 1 io/a.c models/graph.h
expect 1 sim/a.c exec/exec.h
expect 1 exec/a.c sim/sim.h
expect 1 plots/a.c sim/sim.h
expect 1 kernels/a.c io/json.h
expect 1 exec/a.c plans/b_private.h
expect 1 schedules/a.c models/graph.h
echo "forbidden arrows are found"
