#!/usr/bin/env bash
# installed.sh SOURCE BUILD CC: installs into a fresh prefix, builds an outside program, runs it.
set -euo pipefail
source=$1 build=$2 cc=$3
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$build" --prefix "$prefix" >/dev/null
pc=$(find "$prefix" -name pipewright.pc)
export PKG_CONFIG_PATH=$(dirname "$pc")
flags=$(pkg-config --cflags --libs pipewright)
# shellcheck disable=SC2086
"$cc" -std=gnu17 -Wall -Werror "$source/examples/c/train_loop.c" -o "$prefix/train_loop" $flags -lm
library=$(dirname "$(find "$prefix" -name 'libpipewright.so')")
LD_LIBRARY_PATH=$library "$prefix/train_loop"

version=$(pkg-config --modversion pipewright)
[ "$("$prefix/bin/pipewright" --version)" = "pipewright $version" ]
extra=$(cd "$prefix" && find . -name '*.h' ! -name pipewright.h)
[ -z "$extra" ] || { echo "only pipewright.h is installed, found: $extra"; exit 1; }
