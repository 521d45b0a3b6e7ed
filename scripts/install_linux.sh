#!/usr/bin/env bash
# Install Onsight: for a developer into .venv beside this repository, or with --service as a system service.
# The parts are in scripts/install/, one subject a file.
set -euo pipefail

usage() {
  cat <<'TXT'
usage: scripts/install_linux.sh [--gpu] [--server-only] [--offline DIR] [--demo [--once] [--port N]]
       scripts/install_linux.sh --service [--offline DIR] [--gpu | --cpu] [--prefix DIR] [--user NAME]
       scripts/install_linux.sh --rollback [RELEASE] | --uninstall [--purge]   [--prefix DIR]

For a developer: .venv beside this repository.
  (no option)     install everything: the studio, training, exporting and serving on the CPU
  --gpu           with ONNX Runtime for CUDA instead of the CPU's
  --server-only   only what serving needs: no torch
  --offline DIR   from a wheelhouse that `onsight pack-offline` made, without any network
  --demo          then train, export, serve and predict on a real data set; the server stays up
  --once          with --demo: stop the server at the end, exit 0 if its answers were right
  --port N        with --demo: port of the server (8000, or the next free one)

For a host (as root): the server in /opt/onsight, started by systemd. Run it again to upgrade.
  --service       install or upgrade; a release that does not become ready changes nothing
  --cpu, --gpu    which ONNX Runtime (the one that is installed; at first the CPU's)
  --accept-unready     take a new release also where its test start does not become ready
  --ready-timeout S    seconds that a start may take until it is ready (120; with --gpu 3600)
  --rollback      back to the release before, or to the one that is named
  --uninstall     remove program and service; settings, keys and models stay
  --purge         with --uninstall: remove them too
  --prefix DIR    put everything below DIR and leave the running system alone (needs no root)
  --user NAME     user that the service runs as (the installed one; at first onsight, with --prefix the current one)

Needs Python 3.11 or newer with venv. Set PYTHON to choose one.
TXT
}

usage_error() {
  echo "error: $*" >&2
  usage >&2
  exit 2
}

job=developer
runtime=
tools=,train,export,studio
offline=
prefix=
owner=
purge=no
accept_unready=no
ready_timeout=
release_wanted=
demo=()
needs_value() { [ "$1" -ge 2 ] || usage_error "$2: expected $3"; }
while [ $# -gt 0 ]; do
  case "$1" in
    --gpu) runtime=gpu ;;
    --cpu) runtime=server ;;
    --server-only) tools= ;;
    --offline) needs_value $# "$1" "a folder"; offline=$(realpath -m -- "$2"); shift ;;
    --demo) demo=(demo "${demo[@]:1}") ;;
    --once) demo=(demo "${demo[@]:1}" --once) ;;
    --port) needs_value $# "$1" "a number"; demo=(demo "${demo[@]:1}" --port "$2"); shift ;;
    --service) job=service ;;
    --accept-unready) accept_unready=yes ;;
    --ready-timeout) needs_value $# "$1" "seconds"; ready_timeout=$2; shift ;;
    --rollback) job=rollback
                case "${2:-}" in ""|-*) ;; *) release_wanted=$2; shift ;; esac ;;
    --uninstall) job=uninstall ;;
    --purge) purge=yes ;;
    --prefix) needs_value $# "$1" "a folder"; prefix=$(realpath -m -- "$2"); shift ;;
    --user) needs_value $# "$1" "a name"; owner=$2; shift ;;
    -h|--help) usage; exit 0 ;;
    *) usage_error "unknown option $1" ;;
  esac
  shift
done
if [ ${#demo[@]} -gt 0 ] && [ -z "$tools" ]; then
  usage_error "--demo trains a model, which --server-only leaves out"
fi
if [ ${#demo[@]} -gt 0 ] && [ $job != developer ]; then
  usage_error "--demo is for a developer's installation"
fi
if [ $purge = yes ] && [ $job != uninstall ]; then
  usage_error "--purge belongs to --uninstall"
fi
if [ $job = developer ] && [ -n "$prefix$owner" ]; then
  usage_error "--prefix and --user belong to --service"
fi
[[ "$ready_timeout" =~ ^[0-9]*$ ]] || usage_error "--ready-timeout: expected whole seconds, found $ready_timeout"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tree=$PWD
# shellcheck source=scripts/install/messages.sh
. scripts/install/messages.sh
# shellcheck source=scripts/install/python.sh
. scripts/install/python.sh
# shellcheck source=scripts/install/wheelhouse.sh
. scripts/install/wheelhouse.sh
# shellcheck source=scripts/install/developer.sh
. scripts/install/developer.sh
# shellcheck source=scripts/install/layout.sh
. scripts/install/layout.sh
# shellcheck source=scripts/install/run_as.sh
. scripts/install/run_as.sh
# shellcheck source=scripts/install/release.sh
. scripts/install/release.sh
# shellcheck source=scripts/install/systemd.sh
. scripts/install/systemd.sh
# shellcheck source=scripts/install/service.sh
. scripts/install/service.sh

case $job in
  developer) install_for_developer ;;
  service) install_service ;;
  rollback) roll_back_by_hand ;;
  uninstall) uninstall_service ;;
esac
