# shellcheck shell=bash
# A wheelhouse: the folder that `onsight pack-offline` makes. It is read and checked before anything is changed.

# read_wheelhouse DIR: set wheelhouse_version, _extras, _python, _machine, _glibc from DIR/wheelhouse.conf.
read_wheelhouse() {
  local folder=$1 key value
  [ -d "$folder" ] || fail "$folder: expected a wheelhouse, found no such folder. Make one with \`onsight pack-offline\`."
  for key in wheelhouse.conf SHA256SUMS constraints.txt wheels; do
    [ -e "$folder/$key" ] || fail "$folder: expected a wheelhouse with $key, found none. Either its making was" \
      "interrupted (run \`onsight pack-offline\` again), or it was not copied completely."
  done
  wheelhouse_version='' wheelhouse_extras='' wheelhouse_python='' wheelhouse_machine='' wheelhouse_glibc=''
  while IFS='=' read -r key value; do
    [[ "$value" =~ ^[A-Za-z0-9.,_+-]*$ ]] || fail "$folder/wheelhouse.conf: $key holds more than letters and digits"
    case $key in
      VERSION) wheelhouse_version=$value ;;
      EXTRAS) wheelhouse_extras=$value ;;
      PYTHON) wheelhouse_python=$value ;;
      MACHINE) wheelhouse_machine=$value ;;
      GLIBC) wheelhouse_glibc=$value ;;
    esac
  done <"$folder/wheelhouse.conf"
  if [ -z "$wheelhouse_version" ] || [ -z "$wheelhouse_extras" ] || [ -z "$wheelhouse_python" ]; then
    fail "$folder/wheelhouse.conf: expected VERSION, EXTRAS and PYTHON. Run \`onsight pack-offline\` again."
  fi
}

# check_wheelhouse DIR: refuse what was changed on the way, and what is not for this machine. After read_wheelhouse.
check_wheelhouse() {
  local folder=$1 wrong wheel here
  say "checking every file of $folder"
  if ! wrong=$(cd "$folder" && LC_ALL=C sha256sum --check --quiet --strict SHA256SUMS 2>&1); then
    fail "$folder: these files differ from SHA256SUMS: $(grep -v '^sha256sum:' <<<"$wrong" | tr '\n' ' ')" \
      "Nothing was installed. Copy the wheelhouse again."
  fi
  for wheel in "$folder"/wheels/*; do
    grep -qF "  wheels/${wheel##*/}" "$folder/SHA256SUMS" \
      || fail "$wheel: expected only files that SHA256SUMS lists, found this one. Remove it, or copy the wheelhouse again."
  done
  say "fingerprint of the wheelhouse: $(wheelhouse_fingerprint "$folder")"
  here=$(uname -m)
  [ -z "$wheelhouse_machine" ] || [ "$wheelhouse_machine" = "$here" ] \
    || fail "the wheelhouse is for $wheelhouse_machine, this machine is $here. Run \`onsight pack-offline\` on a $here machine."
  [ -n "$wheelhouse_glibc" ] || return 0
  here=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2) || true
  [ -n "$here" ] || fail "the wheelhouse needs glibc $wheelhouse_glibc or newer, this system has another C library."
  [ "$(printf '%s\n' "$wheelhouse_glibc" "$here" | sort -V | head -n1)" = "$wheelhouse_glibc" ] \
    || fail "the wheelhouse needs glibc $wheelhouse_glibc or newer, this system has $here. Use a newer system."
}

# wheelhouse_fingerprint DIR: the digest over all digests; `onsight pack-offline` prints the same one.
wheelhouse_fingerprint() { sha256sum "$1/SHA256SUMS" | cut -c1-64; }

# pip_offline VENV DIR EXTRAS: install onsight[EXTRAS] from the wheels of DIR alone, whatever pip is set to elsewhere.
pip_offline() {
  PIP_CONFIG_FILE=/dev/null "$1/bin/python" -m pip --isolated install --quiet --disable-pip-version-check \
    --no-index --find-links "$2/wheels" --only-binary :all: -c "$2/constraints.txt" \
    "onsight[$3]==$wheelhouse_version"
}

# has_extra LIST NAME: whether the comma-separated list names it.
has_extra() { [[ ",$1," == *",$2,"* ]]; }
