#!/usr/bin/env bash
# What tests need beside Python packages: Debian's chromium (pages), nginx (the proxy in front), buildah (images), wrk
# (load), and for the installer shellcheck and systemd's analyzer.
# Without one of them, or without the right to install it, its tests are skipped and say so.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

missing=()
command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
command -v nginx >/dev/null || missing+=(nginx-light)
command -v buildah >/dev/null || missing+=(buildah)
command -v wrk >/dev/null || missing+=(wrk)
command -v shellcheck >/dev/null || missing+=(shellcheck)
command -v strace >/dev/null || missing+=(strace)
command -v systemd-analyze >/dev/null || missing+=(systemd)
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "note: no ${missing[*]} and no apt-get here: some tests will be skipped" >&2
  exit 0
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)

# Tests start an nginx of their own; the package's must not take port 80 of a developer's machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ] && printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null 2>&1; then
  "${as_root[@]}" chmod 755 $policy
  trap '"${as_root[@]}" rm -f $policy' EXIT
fi
if ! "${as_root[@]}" apt-get update -qq >/dev/null 2>&1; then
  echo "note: apt-get update failed: tests that need ${missing[*]} may be skipped" >&2
fi
for package in "${missing[@]}"; do
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1; then
    echo "note: $package could not be installed: its tests will be skipped" >&2
  fi
done
