#!/usr/bin/env bash
# Prints the path of axe.min.js (axe-core), which finds what keeps people from using a page, fetching it if it is not there.
#
#   axe=$(scripts/get-axe.sh)
#
# Looked for in this order:
#   1. $SKYLINK_AXE               an explicit choice
#   2. .tools/axe                 what an earlier run of this script fetched
#   3. a pinned Python wheel      which holds it, by hash; needs python3 with pip
#
# Only the path goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
requirements="$root/scripts/axe-requirements.txt"

say() { printf 'get-axe: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

if [[ -n "${SKYLINK_AXE:-}" ]]; then
    [[ -f "$SKYLINK_AXE" ]] || fail "SKYLINK_AXE=$SKYLINK_AXE is no file: correct it, or unset it to have one fetched"
    printf '%s\n' "$SKYLINK_AXE"
    exit 0
fi

# What was fetched for another version is fetched again.
if ! cmp --silent "$requirements" "$tools/axe/requirements.txt" || [[ ! -s "$tools/axe/axe.min.js" ]]; then
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --requirement "$requirements" --dest "$staging" >&2 ||
        fail "pip could not download it, for the reason above (without pip: python3 -m ensurepip, or apt-get install python3-pip)"
    mkdir "$staging/axe"
    # Python reads the archive: `unzip` is not everywhere, and python3 is here already.
    python3 - "$staging" <<'PY' || fail "the wheel holds no axe.min.js"
import pathlib, sys, zipfile

staging = pathlib.Path(sys.argv[1])
(wheel,) = staging.glob("axe_playwright_python-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (staging / "axe" / "axe.min.js").write_bytes(archive.read("axe_playwright_python/axe.min.js"))
PY
    cp "$requirements" "$staging/axe/requirements.txt"
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/axe"
    mv -T "$staging/axe" "$tools/axe"
    say "fetched axe-core into .tools/"
fi
printf '%s\n' "$tools/axe/axe.min.js"
