# shellcheck shell=bash
# Where a system installation keeps its files, and who owns them.

# set_paths PREFIX: set app, etc, state and units. PREFIX is empty for the real places.
set_paths() {
  app=$1/opt/onsight
  etc=$1/etc/onsight
  state=$1/var/lib/onsight
  units=$1/etc/systemd/system
}

# set_owner: set owner and group, the user that the service runs as; make the user `onsight` where it is missing.
set_owner() {
  if [ -z "$owner" ]; then
    owner=onsight
    [ -z "$prefix" ] || owner=$(id -un)
  fi
  if ! id -u "$owner" >/dev/null 2>&1; then
    [ -z "$prefix" ] || fail "--user $owner: expected a user of this system. With --prefix none is made."
    say "making the user $owner"
    useradd --system --user-group --no-create-home --home-dir "$state" --shell /usr/sbin/nologin "$owner"
    made_user=yes
  fi
  group=$(id -gn "$owner")
  [ -z "$prefix" ] || [ "$(id -u)" = 0 ] || [ "$owner" = "$(id -un)" ] \
    || fail "--user $owner: only root may install for another user, you are $(id -un)."
}

need_root() {
  [ -n "$prefix" ] || [ "$(id -u)" = 0 ] || fail "a system installation needs root: sudo $0 ... (or --prefix DIR)"
}

# place MODE OWNER:GROUP FOLDER: make it, and give it this mode and owner; what is inside stays as it is.
place() {
  mkdir -p "$3"
  [ "$(id -u)" != 0 ] || chown "$2" "$3"
  chmod "$1" "$3"
}

# make_folders: settings, keys and models. The server writes into its home alone.
make_folders() {
  local root_user=root
  [ "$(id -u)" = 0 ] || root_user=$owner
  place 0755 "$root_user:" "$app"
  place 0755 "$root_user:" "$app/releases"
  place 0755 "$root_user:" "$app/bin"
  place 0750 "$root_user:$group" "$etc"
  place 0750 "$root_user:$group" "$state"
  place 0700 "$owner:$group" "$state/home"
  place 2750 "$root_user:$group" "$state/models"
  [ "${made_user:-no}" = no ] || printf '%s\n' "$owner" >"$state/.made-user"
  if [ ! -e "$etc/onsight.env" ]; then
    write_settings >"$etc/onsight.env.new"
    [ "$(id -u)" != 0 ] || chown "$root_user:$group" "$etc/onsight.env.new"
    chmod 0640 "$etc/onsight.env.new"
    mv -T "$etc/onsight.env.new" "$etc/onsight.env"
  fi
}

# write_settings: the first onsight.env, to stdout. Later installations leave the file as it is.
write_settings() {
  cat <<TXT
# Settings of the Onsight server: NAME=value, one a line; docs/configuration.md lists them all.
# After a change: systemctl restart onsight
ONSIGHT_HOME=$state/home
ONSIGHT_MODELS_DIR=$state/models
# Beyond this machine (0.0.0.0) the server starts once there is a token: $app/bin/onsight token create NAME
ONSIGHT_HOST=127.0.0.1
ONSIGHT_PORT=8000
TXT
  [ "$runtime" != gpu ] || echo "ONSIGHT_PROVIDERS=cuda"
}

# read_settings: onsight.env as systemd reads it, NAME=value one a line: without the space around name and value, and
# without the quotes around a value.
read_settings() {
  sed -nE '
    s/^[[:space:]]*([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*=[[:space:]]*(.*)$/\1=\2/
    T
    s/[[:space:]]+$//
    s/^([^=]*)=(["'\''])(.*)\2$/\1=\3/
    p' "$etc/onsight.env"
}

# setting NAME DEFAULT: its value in onsight.env.
setting() {
  local value
  value=$(read_settings | sed -n "s/^$1=//p" | tail -n1)
  printf '%s\n' "${value:-$2}"
}
