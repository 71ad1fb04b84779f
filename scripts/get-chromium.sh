#!/usr/bin/env bash
# Prints the path of a Chromium whose driver is beside it or on PATH, fetching both into .tools/ if there is none.
#
#   chromium=$(scripts/get-chromium.sh)
#
# Looked for in this order:
#   1. $SKYLINK_CHROMIUM       an explicit choice
#   2. chromium on PATH        with chromedriver beside it
#   3. Debian's packages       chromium and chromium-driver: installed as root, else unpacked into .tools/chromium
#
# Only the path goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"

say() { printf 'get-chromium: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
runs() { [[ -x "$1" ]] && "$1" --version >/dev/null 2>&1; }
has_driver() { runs "$(dirname "$1")/chromedriver" || command -v chromedriver >/dev/null; }

if [[ -n "${SKYLINK_CHROMIUM:-}" ]]; then
    runs "$SKYLINK_CHROMIUM" || fail "SKYLINK_CHROMIUM=$SKYLINK_CHROMIUM does not run: correct it, or unset it to have one fetched"
    has_driver "$SKYLINK_CHROMIUM" || fail "there is no chromedriver beside $SKYLINK_CHROMIUM nor on PATH: install the one of its version"
    printf '%s\n' "$SKYLINK_CHROMIUM"
    exit 0
fi

# Prints a Chromium that runs and has its driver, if there is one.
found() {
    local candidate
    for candidate in "$(command -v chromium || true)" "$tools/chromium/usr/bin/chromium"; do
        if [[ -n "$candidate" ]] && runs "$candidate" && has_driver "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

if ! found; then
    command -v apt-get >/dev/null ||
        fail "there is no chromium with chromedriver, and no apt-get to fetch Debian's: install both and put them on PATH"
    mkdir -p "$tools"
    # Tests that run side by side fetch it once.
    exec 9>"$tools/chromium.lock"
    flock 9
    if ! found >/dev/null; then
        if [[ $(id -u) == 0 ]]; then
            say "installing Debian's packages chromium and chromium-driver"
            apt-get update -qq >&2 || say "the lists of packages could not be fetched anew: trying with those that are there"
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core >&2 ||
                fail "apt-get could not install them, for the reason above"
        else
            say "unpacking Debian's packages chromium and chromium-driver into .tools/chromium"
            staging=$(mktemp -d "$tools/fetching.XXXXXX")
            trap 'rm -rf "$staging"' EXIT
            (cd "$staging" && apt-get download chromium chromium-common chromium-driver >&2) ||
                fail "apt-get could not download them, for the reason above: as root, apt-get update, then apt-get install chromium chromium-driver"
            for package in "$staging"/*.deb; do
                dpkg-deb --extract "$package" "$staging/chromium"
            done
            # Debian's start script and its own folders are where the package would be installed: the program itself is what is taken.
            ln -sf ../lib/chromium/chromium "$staging/chromium/usr/bin/chromium"
            rm -rf "$tools/chromium"
            mv -T "$staging/chromium" "$tools/chromium"
        fi
    fi
    found || fail "what was fetched does not run: as root, apt-get install chromium chromium-driver brings what it needs"
fi
