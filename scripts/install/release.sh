# shellcheck shell=bash
# Releases: /opt/onsight/releases/<version>-<digest>, each with an environment of its own; `current` points to one.
# A release counts once it holds .complete; what an interrupted installation left is removed by the next.

KEPT_RELEASES=3

# release_of LINK: print the name of the release that the link (current, previous) points to, or nothing.
release_of() {
  local target
  target=$(readlink "$app/$1" 2>/dev/null) || return 0
  target=${target##*/}
  [ ! -e "$app/releases/$target/.complete" ] || printf '%s\n' "$target"
}

# point LINK RELEASE: in one step; nobody ever sees no link, or half of one.
point() {
  ln -sfn "releases/$2" "$app/$1.new"
  mv -T "$app/$1.new" "$app/$1"
}

remove_half_made_releases() {
  local folder
  for folder in "$app/releases"/*/; do
    if [ -d "$folder" ] && [ ! -e "$folder/.complete" ]; then
      say "removing ${folder%/}, which an interrupted installation left"
      rm -rf -- "${folder:?}"
    fi
  done
}

# plan_release PYTHON: set release, the name that follows from what would be installed; nothing is written.
plan_release() {
  local version content
  if [ -n "$offline" ]; then
    version=$wheelhouse_version
    content=$(wheelhouse_fingerprint "$offline")
  else
    [ -f pyproject.toml ] || fail "$tree: expected Onsight's source tree, found none. From a wheelhouse: add --offline $tree"
    version=$("$1" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
    content=$(tree_digest "$1")
  fi
  release=$version-$(printf '%s\n' "$content" "$runtime" "$("$1" -VV)" "$1" | sha256sum | cut -c1-12)
}

# tree_digest PYTHON: over every file of the source tree that an installation is made from.
tree_digest() {
  local packages
  packages=$("$1" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], sep="\n")')
  # shellcheck disable=SC2086 # one word a package
  find pyproject.toml constraints.txt scripts $packages -name node_modules -prune -o -type f ! -name "*.pyc" -print0 \
    | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

# build_release PYTHON: make releases/$release beside the others. The environment cannot be moved later: its programs
# name their place.
build_release() {
  local folder=$app/releases/$release
  say "installing onsight[$runtime] as $folder"
  mkdir -p "$folder"
  "$1" -m venv "$folder/venv"
  if [ -n "$offline" ]; then
    pip_offline "$folder/venv" "$offline" "$runtime"
  else
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "${tree}[$runtime]"
  fi
  cp -R "${offline:-$tree}/scripts" "$folder/scripts"
  find "$folder/scripts" -name __pycache__ -prune -exec rm -rf {} +
  printf '%s\n' "$runtime" >"$folder/runtime"
  sync -f "$folder" # on the disk before anything points to it: a power cut must not leave half of it behind a link
}

# check_release: does the new one work, with the real settings, keys and models, while the old one still serves?
check_release() {
  local folder=$app/releases/$release port scheme=http answer
  local onsight=$folder/venv/bin/onsight log=$app/self-check.log
  if ! answer=$(exec_as_service "$onsight" --version 2>&1); then
    say "onsight --version failed: $answer"
    return 1
  fi
  say "$answer"
  answer=$(exec_as_service "$onsight" --help 2>&1) || true
  if grep -q '^ *doctor ' <<<"$answer"; then
    (exec_as_service "$onsight" doctor) >&2 || { say "onsight doctor found what is wrong; see above"; return 1; }
  fi
  [ -z "$(setting ONSIGHT_TLS_CERTIFICATE "")" ] || scheme=https
  port=$("$folder/venv/bin/python" "$folder/scripts/install/wait_ready.py" port)
  say "starting it on port $port to see whether it becomes ready"
  # Its copies of models that served stay the running server's business.
  (exec_as_service ONSIGHT_HOST=127.0.0.1 ONSIGHT_PORT="$port" ONSIGHT_WORKERS=1 ONSIGHT_DRAIN_S=0 \
    ONSIGHT_KEEP_LAST_GOOD=false "$onsight" serve 9>&-) >"$log" 2>&1 &
  trial=$!
  if answer=$(wait_ready "$folder" "$scheme://127.0.0.1:$port" "$trial"); then
    end_trial
    say "$answer"
    rm -f "$log"
    return 0
  fi
  end_trial
  say "it did not become ready within $ready_timeout s: $answer. Its last lines (all of them: $log):"
  tail -n 15 "$log" | sed 's/^/  | /' >&2
  return 1
}

# wait_ready RELEASE_FOLDER URL [PID]: prints one line about what it found.
wait_ready() {
  local folder=$1 url=$2
  shift 2
  "$folder/venv/bin/python" -I "$folder/scripts/install/wait_ready.py" "$url" "$ready_timeout" "$@"
}

# end_trial: stop the temporary server, if there is one. Also when the installation ends early.
end_trial() {
  [ -n "${trial:-}" ] || return 0
  kill -TERM "$trial" 2>/dev/null || true
  wait "$trial" 2>/dev/null || true
  trial=
}

# prune_releases: keep the newest, and always the current and the one before.
prune_releases() {
  local current previous name kept=0
  current=$(release_of current)
  previous=$(release_of previous)
  for name in "$current" "$previous"; do
    [ -z "$name" ] || kept=$((kept + 1))
  done
  while read -r name; do
    if [ "$name" = "$current" ] || [ "$name" = "$previous" ]; then continue; fi
    kept=$((kept + 1))
    if [ "$kept" -gt "$KEPT_RELEASES" ]; then
      say "removing the old release $name"
      rm -rf -- "${app:?}/releases/${name:?}"
    fi
  done < <(cd "$app/releases" && find . -mindepth 2 -maxdepth 2 -name .complete -printf '%T@ %h\n' \
    | sort -rn | cut -d' ' -f2 | cut -c3-)
}
