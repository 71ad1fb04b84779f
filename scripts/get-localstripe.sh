#!/usr/bin/env bash
# Prints the path of localstripe, a fake Stripe server that others wrote, fetching it into .tools/ if it is not there.
#
#   server=$(scripts/get-localstripe.sh)
#
# Looked for in this order:
#   1. $SKYLINK_LOCALSTRIPE             an explicit choice
#   2. .tools/localstripe/bin/localstripe   what an earlier run of this script fetched
#   3. PyPI, pinned by version and hash, into a virtual environment; needs python3 >= 3.10 with pip
#
# localstripe is GPL-3.0: it is run as a process of its own, for tests only, and no part of SkyLink.
#
# Only the path goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
requirements="$root/scripts/localstripe-requirements.txt"
build_requirements="$root/scripts/localstripe-build-requirements.txt"

say() { printf 'get-localstripe: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Tells whether a path is localstripe, in the version that is pinned.
is_pinned() {
    [[ -x "$1" ]] && cmp --silent "$requirements" "$(dirname "$1")/../requirements.txt"
}

# Installs what is pinned, and nothing besides.
install() {
    python3 -m pip --python "$tools/localstripe/bin/python" install --quiet --disable-pip-version-check --no-deps \
        --require-hashes "$@" >&2
}

if [[ -n "${SKYLINK_LOCALSTRIPE:-}" ]]; then
    [[ -x "$SKYLINK_LOCALSTRIPE" ]] ||
        fail "SKYLINK_LOCALSTRIPE=$SKYLINK_LOCALSTRIPE is no program: correct it, or unset it to have one fetched"
    printf '%s\n' "$SKYLINK_LOCALSTRIPE"
    exit 0
fi

server="$tools/localstripe/bin/localstripe"
if ! is_pinned "$server"; then
    command -v python3 >/dev/null || fail "python3 is missing: install it with pip, or set SKYLINK_LOCALSTRIPE"
    mkdir -p "$tools"
    # One at a time: an environment can't be moved once it is made.
    exec 9>"$tools/localstripe.lock"
    flock 9
    if ! is_pinned "$server"; then
        say "installing the pinned localstripe into .tools/localstripe"
        rm -rf "$tools/localstripe"
        # pip of this machine puts it there, since the module venv may lack its own (Debian's python3-venv).
        python3 -m venv --without-pip "$tools/localstripe" >&2 || fail "python3 can't make a virtual environment"
        install --only-binary=:all: --requirement "$build_requirements" ||
            fail "pip could not install the build tools: its reason is above (without pip: python3 -m ensurepip, or apt-get install python3-pip)"
        install --no-build-isolation --requirement "$requirements" || fail "pip could not install it: its reason is above"
        # Last, so that an installation that was cut off is made again.
        cp "$requirements" "$tools/localstripe/requirements.txt"
    fi
fi
printf '%s\n' "$server"
