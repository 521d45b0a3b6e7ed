# shellcheck shell=bash
# Which Python an installation is made with.

# find_python [X.Y]: print the first Python that has venv and is 3.11 or newer, or exactly X.Y.
find_python() {
  local exact=${1:-} candidate
  local -a candidates=(python3.11 python3.12 python3.13 python3.14 python3)
  [ -z "$exact" ] || candidates=("python$exact" python3)
  [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c "$PYTHON_FITS" "$exact" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  if [ -n "$exact" ]; then
    fail "the wheelhouse holds packages for Python $exact: expected that Python with venv, found none in" \
      "${candidates[*]}. On Debian: apt install python$exact python$exact-venv. Or run \`onsight pack-offline\` with" \
      "the Python of this host."
  fi
  fail "expected Python 3.11 or newer with venv, found none in ${candidates[*]}." \
    "On Debian: apt install python3 python3-venv"
}

PYTHON_FITS='
import sys, venv, ensurepip
exact, found = sys.argv[1], sys.version_info
fits = found >= (3, 11) and sys.implementation.name == "cpython"
sys.exit(not fits or bool(exact) and exact != f"{found[0]}.{found[1]}")
'
