# Sourced by demo.sh and test.sh: makes sure that the Debian packages named as arguments are there.
#   require_packages PACKAGE...   installs what is missing as root or through sudo; where neither is
#                                 possible it prints the one apt line and exits with 2.
PW_BUILD_PACKAGES="build-essential cmake ninja-build pkg-config libglib2.0-dev libjansson-dev \
libyajl-dev libsmartcols-dev libhwloc-dev libdnnl-dev gnuplot-nox"

require_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo)
    else
      echo "Missing packages. Install them with:" >&2
      echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 2
    fi
  fi
  echo "Installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
