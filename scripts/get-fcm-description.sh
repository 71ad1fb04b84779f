#!/usr/bin/env bash
# Prints the file with Google's own description of FCM's HTTP v1 interface (a discovery document), fetching it into .tools/ if it is not
# there. It comes in a package for Python of 17 MB, of which nothing else is kept.
#
# Looked for in this order:
#   1. $SKYLINK_FCM_DESCRIPTION     an explicit choice
#   2. .tools/fcm-description       what an earlier run of this script fetched
#   3. PyPI, pinned by version and hash; needs python3 with pip
#
# Only the file goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
requirements="$root/scripts/fcm-description-requirements.txt"

say() { printf 'get-fcm-description: %s\n' "$*" >&2; }

if [[ -n "${SKYLINK_FCM_DESCRIPTION:-}" ]]; then
    [[ -f "$SKYLINK_FCM_DESCRIPTION" ]] || {
        say "SKYLINK_FCM_DESCRIPTION=$SKYLINK_FCM_DESCRIPTION is no file: correct it, or unset it to have it fetched"
        exit 1
    }
    printf '%s\n' "$SKYLINK_FCM_DESCRIPTION"
    exit 0
fi

# What was fetched for another version is fetched again.
if ! cmp --silent "$requirements" "$tools/fcm-description/requirements.txt"; then
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --only-binary=:all: --require-hashes --no-deps \
        --requirement "$requirements" --dest "$staging" >&2 || {
        say "pip could not fetch it, for the reason above (without pip: python3 -m ensurepip, or apt-get install python3-pip)"
        exit 1
    }
    mkdir "$staging/fcm-description"
    python3 - "$staging"/*.whl "$staging/fcm-description/fcm.v1.json" <<'PYTHON'
import sys
import zipfile

package, file = sys.argv[1:]
with zipfile.ZipFile(package) as files, open(file, "wb") as out:
    out.write(files.read("googleapiclient/discovery_cache/documents/fcm.v1.json"))
PYTHON
    cp "$requirements" "$staging/fcm-description/requirements.txt"
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/fcm-description"
    mv -T "$staging/fcm-description" "$tools/fcm-description"
    say "fetched Google's description of FCM into .tools/"
fi
printf '%s\n' "$tools/fcm-description/fcm.v1.json"
