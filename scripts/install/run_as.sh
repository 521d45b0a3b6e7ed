# shellcheck shell=bash
# Run a program as the service does: its user, its settings, and nothing else of this shell's environment.

# exec_as_service [NAME=VALUE...] PROGRAM ARGUMENT...: replaces this (sub)shell, and ends with the process above it.
exec_as_service() {
  local -a settings=() switch=()
  [ -r "$etc/onsight.env" ] || fail "$etc/onsight.env: expected to read the settings here. Run it as root (sudo)."
  mapfile -t settings < <(read_settings)
  if [ "$(id -u)" = 0 ] && [ "$owner" != root ]; then
    switch=(setpriv --reuid "$owner" --regid "$group" --init-groups --no-new-privs --pdeathsig TERM --)
  elif [ "$(id -un)" != "$owner" ]; then
    fail "this runs as the user $owner: run it as root (sudo)."
  elif command -v setpriv >/dev/null; then
    switch=(setpriv --pdeathsig TERM --)
  fi
  exec "${switch[@]}" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$state/home" LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    ORT_DISABLE_TELEMETRY=1 "${settings[@]}" "$@"
}

# write_wrapper: $app/bin/onsight, the command line with the service's user and settings.
write_wrapper() {
  cat >"$app/bin/onsight.new" <<TXT
#!/usr/bin/env bash
# The onsight command with the user and the settings of the service: $app/bin/onsight token create NAME
set -euo pipefail
prefix=$(printf '%q' "$prefix") owner=$(printf '%q' "$owner") group=$(printf '%q' "$group")
for part in messages layout run_as; do
  . "\$prefix/opt/onsight/current/scripts/install/\$part.sh"
done
set_paths "\$prefix"
exec_as_service "\$app/current/venv/bin/onsight" "\$@"
TXT
  chmod 0755 "$app/bin/onsight.new"
  mv -T "$app/bin/onsight.new" "$app/bin/onsight"
}
