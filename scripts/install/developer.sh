# shellcheck shell=bash
# For a developer: .venv beside this repository, editable; from a wheelhouse the packages themselves.

install_for_developer() {
  local python wanted extras=${runtime:-server}$tools
  if [ -n "$offline" ]; then
    read_wheelhouse "$offline"
    extras=$wheelhouse_extras
    [ "$runtime" != gpu ] || has_extra "$extras" gpu \
      || fail "--gpu: the wheelhouse holds $extras. Run \`onsight pack-offline --extras gpu\`."
    [ ${#demo[@]} -eq 0 ] || has_extra "$extras" train \
      || fail "--demo: it trains a model, the wheelhouse holds $extras. Run \`onsight pack-offline --extras server,train,export\`."
    python=$(find_python "$wheelhouse_python")
    check_wheelhouse "$offline"
    wanted="offline $(wheelhouse_fingerprint "$offline")"
  else
    [ -f pyproject.toml ] \
      || fail "$tree: expected Onsight's source tree, found none. From a wheelhouse: $0 --offline $tree"
    [ -x .venv/bin/python ] || python=$(find_python)
    # Nothing is downloaded where the same thing was installed before.
    wanted="$extras $(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)"
  fi
  if [ ! -x .venv/bin/python ]; then
    say "making .venv with $("$python" --version)"
    "$python" -m venv .venv
  fi
  if [ "$(cat .venv/.onsight 2>/dev/null)" != "$wanted" ]; then
    install_into_developers_venv "$extras"
    echo "$wanted" >.venv/.onsight
  fi
  if [ -z "$offline" ] && has_extra "$extras" studio; then
    scripts/build_web.sh
  fi
  if [ ${#demo[@]} -gt 0 ]; then
    exec .venv/bin/onsight "${demo[@]}"
  fi
  if has_extra "$extras" studio; then
    echo "Installed. Next: .venv/bin/onsight studio, or .venv/bin/onsight --help"
  else
    echo "Installed. Next: .venv/bin/onsight --help"
  fi
}

install_into_developers_venv() {
  local other=onnxruntime-gpu
  ! has_extra "$1" gpu || other=onnxruntime
  rm -f .venv/.onsight
  .venv/bin/python -m pip uninstall --quiet --yes "$other" 2>/dev/null || true
  if [ -n "$offline" ]; then
    say "installing onsight[$1] from $offline"
    pip_offline .venv "$offline" "$1"
  else
    say "installing onsight[$1]: one to five minutes"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$1]"
  fi
}
