# shellcheck shell=bash
# What the installer says; results of functions go to stdout, so everything said goes to stderr.

say() { printf '%s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
