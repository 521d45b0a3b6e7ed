#!/usr/bin/env bash
# What the browser tests need beside Python packages: Debian's chromium. Without it, or without the right to install it,
# those tests are skipped and say so.
set -euo pipefail
command -v chromium >/dev/null && exit 0
if ! command -v apt-get >/dev/null; then
  echo "note: no chromium and no apt-get here: browser tests will be skipped" >&2
  exit 0
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1; then
  echo "note: chromium could not be installed: browser tests will be skipped" >&2
fi
