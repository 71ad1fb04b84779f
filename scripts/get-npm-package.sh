#!/usr/bin/env bash
# Prints the folder of a program of others with what it needs from the npm registry, fetching that if it is not there.
#
#   scripts/get-npm-package.sh spec-linters lint.mjs     what scripts/spec-linters pins; FILE must be in it
#
# Looked for in this order:
#   1. $SKYLINK_<NAME>      an explicit choice
#   2. .tools/<name>        what an earlier run of this script fetched
#   3. the npm registry, pinned by version and hash; needs Node.js 20 or later with npm
#
# Only the folder goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

name=$1
file=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
source="$root/scripts/$name"
variable="SKYLINK_$(printf '%s' "$name" | tr 'a-z-' 'A-Z_')"
chosen=${!variable:-}

say() { printf 'get-%s: %s\n' "$name" "$*" >&2; }

if [[ -n "$chosen" ]]; then
    [[ -f "$chosen/$file" ]] || {
        say "$variable=$chosen holds no $file: correct it, or unset it to have it fetched"
        exit 1
    }
    printf '%s\n' "$chosen"
    exit 0
fi

# What was fetched for other versions is fetched again.
if ! diff --recursive --brief --exclude node_modules "$source" "$tools/$name" >/dev/null 2>&1; then
    command -v npm >/dev/null || {
        say "npm is missing: install Node.js 20 or later (Debian: apt-get install nodejs npm)"
        exit 1
    }
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    cp -r "$source" "$staging/$name"
    # Nothing that comes with it is run while it is installed.
    (cd "$staging/$name" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || {
        say "npm could not install it, for the reason above"
        exit 1
    }
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/$name"
    mv -T "$staging/$name" "$tools/$name"
    say "fetched $name into .tools/"
fi
printf '%s\n' "$tools/$name"
