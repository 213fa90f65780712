# shellcheck shell=bash
# Sourced by gpu.sh in its folder: sets LD_LIBRARY_PATH to what was packed and to the folders that
# have CUDA's libraries, and `missing` to those that are nowhere.
candidates() {
  local root
  for root in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-* /opt/cuda; do
    [ -n "$root" ] && printf '%s\n' "$root/lib64" "$root/lib" "$root"/targets/*/lib
  done
  # PyTorch's wheels bring CUDA's libraries along.
  python3 - 2>/dev/null <<'PYTHON'
import glob, os, sys
for folder in sys.path:
    for lib in sorted(glob.glob(os.path.join(folder, "nvidia", "*", "lib"))):
        print(lib)
PYTHON
}

export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$PWD/lib/needed"
not_found() {
  ldd bin/* lib/pipewright/pipewright-cuda.so 2>/dev/null | awk '/=> not found/ { print $1 }' | sort -u
}
# The module opens cuDNN itself, so nothing says that it needs it, and it can do without.
folder=$(candidates | while read -r folder; do
  [ -e "$folder/libcudnn.so.9" ] && { echo "$folder"; break; }
done)
[ -z "$folder" ] || LD_LIBRARY_PATH+=":$folder"
missing=""
for library in $(not_found); do
  folder=$(candidates | while read -r folder; do
    [ -e "$folder/$library" ] && { echo "$folder"; break; }
  done)
  if [ -n "$folder" ]; then
    LD_LIBRARY_PATH+=":$folder"
  elif [ -e "lib/fallback/$library" ]; then
    LD_LIBRARY_PATH+=":$PWD/lib/fallback"
  else
    missing+="${missing:+, }$library"
  fi
done
