# shellcheck shell=bash
# The systemd unit. Where systemd does not run (containers, chroots, --prefix) its files are written and nothing is started.

# ONSIGHT_SYSTEMCTL names a program to use in place of systemctl; tests start real servers with one.
systemd_runs() {
  [ -n "${ONSIGHT_SYSTEMCTL:-}" ] || { [ -z "$prefix" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }
}

control() { "${ONSIGHT_SYSTEMCTL:-systemctl}" "$@" 9>&-; }

# install_unit RELEASE: the unit that this release brings, for this place and user. Sets unit_changed.
install_unit() {
  local source=$app/releases/$1/scripts/systemd drop_ins=$units/onsight.service.d
  mkdir -p "$units"
  unit_changed=no
  write_unit_file "$source/onsight.service" "$units/onsight.service"
  if [ "$(cat "$app/releases/$1/runtime")" = gpu ]; then
    mkdir -p "$drop_ins"
    write_unit_file "$source/onsight-gpu.conf" "$drop_ins/onsight-gpu.conf"
  elif [ -e "$drop_ins/onsight-gpu.conf" ]; then
    rm -f "$drop_ins/onsight-gpu.conf"
    unit_changed=yes
  fi
  if systemd_runs && [ $unit_changed = yes ]; then
    control daemon-reload
  fi
}

write_unit_file() {
  sed -e "s#/opt/onsight#$app#g; s#/etc/onsight/#$etc/#g; s#/var/lib/onsight#$state#g" \
    -e "s/^User=.*/User=$owner/; s/^Group=.*/Group=$group/" "$1" >"$2.new"
  chmod 0644 "$2.new"
  cmp -s "$2.new" "$2" || unit_changed=yes
  mv -T "$2.new" "$2"
}

# restart_service RELEASE: start it again on this release, and see whether it becomes ready. 1 where it does not.
restart_service() {
  local host port scheme=http answer
  if ! systemd_runs; then
    say "note: systemd does not run here: start the server yourself: $(start_line)"
    return 0
  fi
  control enable --quiet onsight.service
  host=$(setting ONSIGHT_HOST 127.0.0.1)
  port=$(setting ONSIGHT_PORT 8000)
  case $host in 0.0.0.0) host=127.0.0.1 ;; ::) host=::1 ;; esac
  case $host in *:*) host=[$host] ;; esac
  [ -z "$(setting ONSIGHT_TLS_CERTIFICATE "")" ] || scheme=https
  say "starting the service"
  if ! control restart onsight.service; then
    say "it did not start. See: journalctl -u onsight -n 50"
    return 1
  fi
  if ! answer=$(wait_ready "$app/releases/$1" "$scheme://$host:$port"); then
    say "the service is not ready: $answer. See: journalctl -u onsight -n 50"
    return 1
  fi
  say "the service is $answer"
}

start_line() { printf 'the ExecStart of %s with the settings of %s\n' "$units/onsight.service" "$etc/onsight.env"; }

remove_unit() {
  if systemd_runs && [ -e "$units/onsight.service" ]; then
    control disable --quiet --now onsight.service || true
  fi
  rm -f "$units/onsight.service" "$units/onsight.service.d/onsight-gpu.conf"
  rmdir "$units/onsight.service.d" 2>/dev/null || true
  ! systemd_runs || control daemon-reload
}
