#!/usr/bin/env bash
# Every #include "room/file.h" must follow an arrow of the house; *_private.h stays in its folder.
set -euo pipefail
cd "$1"

# room: the rooms whose headers it may include, besides its own.
declare -A allowed=(
  [io]=""
  [models]="io"
  [schedules]="io"
  [traces]="schedules io"
  [plans]="traces schedules models io"
  [sim]="plans traces schedules models io"
  [kernels]=""
  [exec]="kernels plans traces schedules models io"
  [plots]="traces schedules io"
  [pipewright]="plots exec sim kernels plans traces schedules models io"
  [cli]="pipewright plots exec sim kernels plans traces schedules models io"
)

status=0
complain() {
  echo "$1: includes \"$2\": $3"
  status=1
}
while IFS=: read -r file include; do
  room=${file%%/*} target=${include%%/*}
  if [[ $include != */* ]]; then
    complain "$file" "$include" "an include names its room, \"$room/$include\""
  elif [[ ! -e $include ]]; then
    complain "$file" "$include" "no such file"
  elif [[ $target != "$room" && " ${allowed[$room]} " != *" $target "* ]]; then
    complain "$file" "$include" "$room may not include $target"
  elif [[ $include == *_private.h && $(dirname "$include") != $(dirname "$file")* &&
          $(dirname "$file") != $(dirname "$include")* ]]; then
    complain "$file" "$include" "private to $(dirname "$include")"
  elif [[ $include == *_private.h && $target != "$room" ]]; then
    complain "$file" "$include" "private to $target"
  fi
done < <(find "${!allowed[@]}" \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null | sort |
         xargs grep -HoE '^#[[:space:]]*include "[^"]+"' |
         sed -E 's/#[[:space:]]*include "([^"]+)"/\1/')

[ $status -eq 0 ] && echo "every include follows an arrow"
exit $status
