#!/usr/bin/env bash
# Makes the folder that gpu.sh runs in: bench/gpu.sh --pack FOLDER [BUILD].
#
#   gpu.sh gpu_*.sh gpu_table.awk gpu_peer_torch.py tests.list
#   bin/ lib/pipewright/   the program, device tests, benchmarks; the CUDA module
#   lib/needed/            shared objects of this machine that they need, but neither the C library's,
#                          which must fit the kernel and the loader there, nor CUDA's
#   lib/fallback/          the compiler's, used only where there are none
#   examples/              plans, and a text to train on
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) source=$(dirname "$here")
fail() {
  echo "gpu.sh: $*" >&2
  exit 2
}
[[ $# -ge 1 && $# -le 2 ]] || fail "usage: bench/gpu.sh --pack FOLDER [BUILD]"
build=${2:-$source/build/release}
[ -x "$build/bin/pipewright" ] || fail "$build has no bin/pipewright; build it first"
build=$(cd "$build" && pwd)
module=$(find "$build" -maxdepth 4 -path '*/pipewright/pipewright-cuda.so' | head -1)
[ -n "$module" ] || fail "$build was built without the CUDA backend"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ -e "$folder/tests.list" ] || [ -z "$(ls -A "$folder")" ] || fail "$1 holds other files"
rm -rf "${folder:?}"/{bin,lib,examples}
mkdir -p "$folder"/{bin,lib/needed,lib/fallback,lib/pipewright,examples}

cp "$here"/gpu.sh "$here"/gpu_{libraries,exact,model,peer}.sh "$here"/gpu_table.awk "$here"/gpu_peer_torch.py "$folder"
cp "$source"/examples/*.json "$source"/examples/*.csv "$source/README.md" "$folder/examples"
cp "$build/bin/pipewright" "$folder/bin"
cp "$module" "$folder/lib/pipewright"
for name in cuda_products cuda_ops; do
  [ -x "$build/bench/bench_$name" ] || fail "bench_$name is not built in $build"
  cp "$build/bench/bench_$name" "$folder/bin"
done

# Tests with the label gpu, by CTest's own list. Benchmarks are run at full size instead.
ctest --test-dir "$build" -L '^gpu$' -N -V | awk '
  /Test command: / { sub (/.*Test command: /, ""); command = $0 }
  /^ *Test +#[0-9]+: / { sub (/^ *Test +#[0-9]+: /, ""); sub (/ .*/, ""); print $0 "\t" command }' |
  while IFS=$'\t' read -r name command; do
    [[ $name != bench_* ]] || continue
    read -r program arguments <<<"${command//\"/}"
    [ -x "$program" ] || fail "$name is not built in $build"
    cp "$program" "$folder/bin"
    # Where the build's own path to the module is part of a test, gpu.sh must be able to name another.
    if grep -qF "$build" <(strings "$program" | grep -F pipewright-cuda.so) &&
      ! grep -q PW_CUDA_MODULE_FILE <(strings "$program"); then
      echo "gpu.sh: $name finds the CUDA module in $build only: it will be skipped elsewhere" >&2
    fi
    printf '%s\t%s\t%s\n' "$name" "${program##*/}" "$arguments"
  done >"$folder/tests.list"

strip --strip-debug "$folder"/bin/* "$folder"/lib/pipewright/*
ldd "$folder"/bin/* "$folder"/lib/pipewright/* | awk '/=> \// { print $1, $3 }' | sort -u |
  while read -r name path; do
    case $name in
    ld-linux* | libc.so* | libm.so* | libdl.so* | librt.so* | libpthread.so* | libresolv.so*) ;;
    libcu* | libnv* | libnccl.so*) ;;
    libstdc++.so* | libgcc_s.so*) cp -L "$path" "$folder/lib/fallback/$name" ;;
    *) cp -L "$path" "$folder/lib/needed/$name" ;;
    esac
  done
echo "packed $(wc -l <"$folder/tests.list") device tests, $(du -sh "$folder" | cut -f1) in $folder"
