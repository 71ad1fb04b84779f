#!/usr/bin/env bash
# Prints the folder that holds the engine of SurrealDB and a program that serves it, fetching them if they are not there.
#
#   node "$(scripts/get-surrealdb.sh)/server.mjs" FOLDER root secret NAMESPACE DATABASE
#
# The engine comes for Linux, macOS and Windows in one package of 160 MB.
#
# Looked for in this order:
#   1. $SKYLINK_SURREALDB      an explicit choice
#   2. .tools/surrealdb        what an earlier run of this script fetched
#   3. the npm registry, pinned by version and hash; needs Node.js 20 or later with npm
#
# Only the folder goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
source="$root/scripts/surrealdb"

say() { printf 'get-surrealdb: %s\n' "$*" >&2; }

if [[ -n "${SKYLINK_SURREALDB:-}" ]]; then
    [[ -f "$SKYLINK_SURREALDB/server.mjs" ]] || {
        say "SKYLINK_SURREALDB=$SKYLINK_SURREALDB holds no server.mjs: correct it, or unset it to have it fetched"
        exit 1
    }
    printf '%s\n' "$SKYLINK_SURREALDB"
    exit 0
fi

# What was fetched for other versions is fetched again.
if ! diff --recursive --brief --exclude node_modules "$source" "$tools/surrealdb" >/dev/null 2>&1; then
    command -v npm >/dev/null || {
        say "npm is missing: install Node.js 20 or later (Debian: apt-get install nodejs npm)"
        exit 1
    }
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    cp -r "$source" "$staging/surrealdb"
    # Nothing that comes with it is run while it is installed.
    (cd "$staging/surrealdb" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || {
        say "npm could not install it, for the reason above"
        exit 1
    }
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/surrealdb"
    mv -T "$staging/surrealdb" "$tools/surrealdb"
    say "fetched the engine of SurrealDB into .tools/"
fi
printf '%s\n' "$tools/surrealdb"
