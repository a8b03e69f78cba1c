# Shared by the scripts of this folder; sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps="$root/.deps"

# say TEXT…: one line of progress, apart from what the tools print.
say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# as_root COMMAND…: what only root may do, by sudo where we are not root.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "root is needed for: $* (no sudo here)"
  fi
}

# done_before NAME VERSION: true if step NAME was finished at this VERSION.
done_before() { [ "$(cat "$deps/stamps/$1" 2>/dev/null)" = "$2" ]; }
mark_done() {
  mkdir -p "$deps/stamps"
  printf '%s' "$2" >"$deps/stamps/$1"
}

has_nvidia_driver() { ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; }
