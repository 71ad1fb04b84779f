#!/usr/bin/env bash
# Prints the folder that holds a package for Python, fetching it into .tools/ if it is not there.
#
#   scripts/get-python-package.sh NAME MODULE     NAME is that of scripts/NAME-requirements.txt; MODULE is one that it brings
#
# Looked for in this order:
#   1. $SKYLINK_<NAME>    an explicit choice
#   2. .tools/NAME        what an earlier run of this script fetched
#   3. PyPI, pinned by version and hash; needs python3 with pip. Nothing comes but what the file names
#
# Only the folder goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

name=$1 module=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
requirements="$root/scripts/$name-requirements.txt"
choice="SKYLINK_${name^^}"

say() { printf 'get-%s: %s\n' "$name" "$*" >&2; }

runs() { PYTHONPATH=$1 python3 -c "import $module" 2>/dev/null; }

if [[ -n "${!choice:-}" ]]; then
    runs "${!choice}" || {
        say "$choice=${!choice} holds no $name: correct it, or unset it to have one fetched"
        exit 1
    }
    printf '%s\n' "${!choice}"
    exit 0
fi

# What was fetched for other versions is fetched again.
if ! cmp --silent "$requirements" "$tools/$name/requirements.txt" || ! runs "$tools/$name"; then
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-warn-conflicts --only-binary=:all: --require-hashes --no-deps \
        --requirement "$requirements" --target "$staging/$name" >&2 || {
        say "pip could not install it, for the reason above (without pip: python3 -m ensurepip, or apt-get install python3-pip)"
        exit 1
    }
    runs "$staging/$name" || {
        say "what pip installed does not run with $(python3 --version)"
        exit 1
    }
    cp "$requirements" "$staging/$name/requirements.txt"
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/$name"
    mv -T "$staging/$name" "$tools/$name"
    say "fetched $name into .tools/"
fi
printf '%s\n' "$tools/$name"
