# shellcheck shell=bash
# A system installation: install or upgrade, go back, remove.
#
# The order of an upgrade: check what was brought, build the new release beside the old, start it on a spare port with the
# real models, then flip `current` and restart. Up to the flip an error or a power cut leaves the old release as it was;
# after it, a service that does not become ready goes back to the old one by itself.

trial=

prepare_service() {
  need_root
  umask 022
  # sed and the unit's own syntax would read these; a path without them is easy to find
  [[ "$prefix" =~ ^[A-Za-z0-9/._+-]*$ ]] || fail "--prefix: expected letters, digits and ._+-/, found $prefix"
  set_paths "$prefix"
  trap end_trial EXIT
  trap 'exit 130' INT TERM HUP
}

lock_installation() {
  command -v flock >/dev/null || fail "expected the program flock, found none. On Debian: apt install util-linux"
  exec 9>"$app/.lock"
  flock -n 9 || fail "another installation into $app is running. Wait for its end."
}

install_service() {
  local python current known=no
  prepare_service
  current=$(release_of current)
  if [ -z "$runtime" ]; then
    runtime=server
    [ -z "$current" ] || runtime=$(cat "$app/releases/$current/runtime")
    [ -z "$offline" ] || { read_wheelhouse "$offline"; ! has_extra "$wheelhouse_extras" gpu || runtime=gpu; }
  fi
  if [ -n "$offline" ]; then
    read_wheelhouse "$offline"
    has_extra "$wheelhouse_extras" "$runtime" \
      || fail "the wheelhouse holds $wheelhouse_extras, wanted is $runtime. Run \`onsight pack-offline --extras $runtime\`."
    python=$(find_python "$wheelhouse_python")
    check_wheelhouse "$offline"
  else
    python=$(find_python)
  fi
  if [ -z "$ready_timeout" ]; then
    ready_timeout=120
    [ "$runtime" != gpu ] || ready_timeout=3600 # engines are built before the first start is ready
  fi
  plan_release "$python"
  set_owner_of_installation
  make_folders
  lock_installation
  remove_half_made_releases
  if [ "$release" = "$current" ]; then
    say "$release is installed already"
    install_unit "$release"
    write_wrapper
    if systemd_runs && { [ "$unit_changed" = yes ] || ! control is-active --quiet onsight.service; }; then
      restart_service "$release" || fail "the service does not run"
    fi
  else
    if [ -e "$app/releases/$release/.complete" ]; then known=yes; else build_release "$python"; fi
    if ! check_release; then
      if [ "$accept_unready" = yes ]; then
        say "note: going on, as --accept-unready says"
      else
        [ $known = yes ] || rm -rf -- "${app:?}/releases/${release:?}"
        fail "the new release did not pass its check, nothing was changed${current:+: $current goes on}."
      fi
    fi
    touch "$app/releases/$release/.complete"
    take_into_service "$current" $known
    prune_releases
  fi
  printf 'Installed %s.\n' "$release"
  printf 'Models go to %s, settings to %s.\nTokens and keys: %s token create NAME; ... trust add KEY.pem\n' \
    "$state/models" "$etc/onsight.env" "$app/bin/onsight"
}

# take_into_service OLD KNOWN: flip to $release; where it does not become ready, back to the release OLD. KNOWN: yes
# where it had been installed before; it stays then, since somebody may want to go back to it.
take_into_service() {
  local old=$1 known=$2 before
  before=$(release_of previous)
  install_unit "$release"
  write_wrapper
  [ -z "$old" ] || point previous "$old"
  point current "$release"
  restart_service "$release" && return
  if [ "$accept_unready" = yes ]; then
    say "note: it stays, as --accept-unready says"
    return
  fi
  [ -n "$old" ] || fail "the service was installed, but does not run. There is no release before it to go back to."
  say "going back to $old"
  point current "$old"
  if [ -n "$before" ] && [ "$before" != "$old" ]; then point previous "$before"; else rm -f "$app/previous"; fi
  install_unit "$old"
  [ "$known" = yes ] || rm -rf -- "${app:?}/releases/${release:?}"
  restart_service "$old" || fail "$release did not become ready, and neither did $old. See: journalctl -u onsight"
  fail "$release did not become ready: the service runs $old again."
}

roll_back_by_hand() {
  local current target
  prepare_service
  current=$(release_of current)
  target=${release_wanted%/} # as a shell completes it
  target=${target##*/}
  [ -n "$target" ] || target=$(release_of previous)
  [ -n "$current" ] || fail "$app: expected an installation, found none."
  [ -n "$target" ] || fail "there is no release before $current to go back to."
  [ -e "$app/releases/$target/.complete" ] \
    || fail "$target: expected one of these releases: $(cd "$app/releases" && echo *)"
  [ "$target" != "$current" ] || fail "$target is the release that runs."
  lock_installation
  set_owner_of_installation
  : "${ready_timeout:=3600}"
  release=$target
  install_unit "$release"
  write_wrapper
  point previous "$current"
  point current "$release"
  restart_service "$release" || fail "$release does not become ready. Back to $current: the same command again."
  printf 'The release is %s; before it was %s.\n' "$release" "$current"
}

# set_owner_of_installation: the user that is asked for, or that the installed unit names.
set_owner_of_installation() {
  [ -n "$owner" ] || [ ! -e "$units/onsight.service" ] || owner=$(sed -n 's/^User=//p' "$units/onsight.service")
  set_owner
}

uninstall_service() {
  local user=
  prepare_service
  [ -d "$app" ] || [ "$purge" = yes ] || fail "$app: expected an installation, found none."
  [ ! -d "$app" ] || lock_installation
  remove_unit
  rm -rf -- "${app:?}"
  if [ "$purge" = yes ]; then
    [ ! -e "$state/.made-user" ] || user=$(cat "$state/.made-user")
    rm -rf -- "${etc:?}" "${state:?}"
    [ -z "$user" ] || userdel "$user" || say "note: the user $user could not be removed"
    printf 'Removed, with settings, keys and models.\n'
  else
    printf 'Removed. Settings stay in %s, keys and models in %s; --uninstall --purge removes them.\n' "$etc" "$state"
  fi
}
