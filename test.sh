#!/usr/bin/env bash
# Installs what is missing, builds with warnings as errors, and runs every test through CTest:
# all of them in the release build and under the address and undefined-behaviour sanitizers, the
# executor's under the thread sanitizer.
#
#   ./test.sh [release] [asan] [tsan]     only the named builds; all three without arguments
set -euo pipefail
cd "$(dirname "$0")"
. scripts/packages.sh
# shellcheck disable=SC2086
require_packages $PW_BUILD_PACKAGES

[ $# -gt 0 ] || set -- release asan tsan

# The libraries beneath keep a few blocks until exit; their names are in the suppression files.
export LSAN_OPTIONS="suppressions=$PWD/scripts/lsan.supp:print_suppressions=0"
export TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp:halt_on_error=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"

for preset in "$@"; do
  echo "== $preset"
  cmake --preset "$preset" >"build-$preset.log" 2>&1 || { cat "build-$preset.log"; rm -f "build-$preset.log"; exit 1; }
  grep -E "^-- (CUDA|MPI|NCCL)" "build-$preset.log" | sed 's/^-- //' || true
  rm -f "build-$preset.log"
  cmake --build --preset "$preset" -- --quiet
  case $preset in
  tsan) ctest --preset tsan -j2 -L threads ;;
  asan) ctest --preset asan -j2 -LE slow-under-asan ;;
  *) ctest --preset "$preset" -j2 ;;
  esac
done
