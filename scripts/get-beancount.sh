#!/usr/bin/env bash
# Prints the folder that holds beancount for Python, fetching it into .tools/ if it is not there.
#
#   PYTHONPATH=$(scripts/get-beancount.sh) python3 -m beancount.scripts.check journal.beancount
#
# Looked for in this order:
#   1. $SKYLINK_BEANCOUNT   an explicit choice
#   2. .tools/beancount     what an earlier run of this script fetched
#   3. PyPI, pinned by version and hash; needs python3 with pip
#
# Only the folder goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
requirements="$root/scripts/beancount-requirements.txt"

say() { printf 'get-beancount: %s\n' "$*" >&2; }

runs() { PYTHONPATH=$1 python3 -c 'import beancount.scripts.check' 2>/dev/null; }

if [[ -n "${SKYLINK_BEANCOUNT:-}" ]]; then
    runs "$SKYLINK_BEANCOUNT" || {
        say "SKYLINK_BEANCOUNT=$SKYLINK_BEANCOUNT holds no beancount: correct it, or unset it to have one fetched"
        exit 1
    }
    printf '%s\n' "$SKYLINK_BEANCOUNT"
    exit 0
fi

# What was fetched for other versions is fetched again.
if ! cmp --silent "$requirements" "$tools/beancount/requirements.txt" || ! runs "$tools/beancount"; then
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-warn-conflicts --only-binary=:all: --require-hashes \
        --requirement "$requirements" --target "$staging/beancount" >&2 || {
        say "pip could not install it, for the reason above (without pip: python3 -m ensurepip, or apt-get install python3-pip)"
        exit 1
    }
    runs "$staging/beancount" || {
        say "what pip installed does not run with $(python3 --version)"
        exit 1
    }
    cp "$requirements" "$staging/beancount/requirements.txt"
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/beancount"
    mv -T "$staging/beancount" "$tools/beancount"
    say "fetched beancount into .tools/"
fi
printf '%s\n' "$tools/beancount"
