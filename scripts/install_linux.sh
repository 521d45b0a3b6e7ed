#!/usr/bin/env bash
# Install Onsight into .venv beside this repository, and on request run the demonstration.
set -euo pipefail

usage() {
  cat <<'TXT'
usage: scripts/install_linux.sh [--gpu] [--server-only] [--demo [--once] [--port N]]

  (no option)     install everything for training, exporting and serving on the CPU
  --gpu           with ONNX Runtime for CUDA instead of the CPU's
  --server-only   only what serving needs: no torch
  --demo          then train, export, serve and predict on a real data set; the server stays up
  --once          with --demo: stop the server at the end, exit 0 if its answers were right
  --port N        with --demo: port of the server (8000, or the next free one)

Needs Python 3.11 or newer with venv. Set PYTHON to choose one.
TXT
}

runtime=server
tools=,train,export
demo=()
while [ $# -gt 0 ]; do
  case "$1" in
    --gpu) runtime=gpu ;;
    --server-only) tools= ;;
    --demo) demo=(demo "${demo[@]:1}") ;;
    --once) demo=(demo "${demo[@]:1}" --once) ;;
    --port) [ $# -ge 2 ] || { echo "error: --port: expected a number" >&2; exit 2; }
            demo=(demo "${demo[@]:1}" --port "$2"); shift ;;
    -h|--help) usage; exit 0 ;;
    *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
  shift
done
if [ ${#demo[@]} -gt 0 ] && [ -z "$tools" ]; then
  echo "error: --demo trains a model, which --server-only leaves out" >&2; exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"; return
    fi
  done
  echo "error: expected Python 3.11 or newer with venv, found none. On Debian: apt install python3 python3-venv" >&2
  exit 1
}

if [ ! -x .venv/bin/python ]; then
  python=$(find_python)
  echo "making .venv with $($python --version)" >&2
  "$python" -m venv .venv
fi
# Nothing is downloaded where the same thing was installed before.
wanted="$runtime$tools $(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)"
if [ "$(cat .venv/.onsight 2>/dev/null)" != "$wanted" ]; then
  if [ "$runtime" = gpu ]; then other=onnxruntime; else other=onnxruntime-gpu; fi
  .venv/bin/python -m pip uninstall --quiet --yes "$other" 2>/dev/null || true
  echo "installing onsight[$runtime$tools]: one to five minutes" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$runtime$tools]"
  echo "$wanted" > .venv/.onsight
fi

if [ ${#demo[@]} -gt 0 ]; then
  exec .venv/bin/onsight "${demo[@]}"
fi
echo "Installed. Next: .venv/bin/onsight --help"
