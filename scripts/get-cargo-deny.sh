#!/usr/bin/env bash
# Prints the path of the cargo-deny that checks this workspace, building it into .tools/ if there is none.
#
# One on PATH is used when it is new enough to read deny.toml; building takes some minutes, once per checkout.
# Only the path goes to stdout.
set -euo pipefail

VERSION=0.20.2
# The first minor release whose configuration has the form that deny.toml is written in.
MINIMUM_MINOR=18

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
built="$root/.tools/bin/cargo-deny"

# Succeeds for cargo-deny 0.x with x at or above the minimum, and for 1.0 and later.
is_new_enough() {
    local version major minor
    version=$({ "$1" --version 2>/dev/null || true; } | sed -n 's/^cargo-deny \([0-9][0-9.]*\).*/\1/p')
    [[ -n "$version" ]] || return 1
    IFS=. read -r major minor _ <<<"$version"
    ((major > 0 || minor >= MINIMUM_MINOR))
}

if on_path=$(command -v cargo-deny) && is_new_enough "$on_path"; then
    printf '%s\n' "$on_path"
    exit 0
fi
if ! is_new_enough "$built"; then
    printf 'get-cargo-deny: building cargo-deny %s into .tools/ (some minutes)\n' "$VERSION" >&2
    cargo install cargo-deny --locked --debug --version "$VERSION" --root "$root/.tools" >&2 || {
        printf 'get-cargo-deny: it could not be built: see above, or put cargo-deny >= 0.%s on PATH\n' "$MINIMUM_MINOR" >&2
        exit 1
    }
fi
printf '%s\n' "$built"
