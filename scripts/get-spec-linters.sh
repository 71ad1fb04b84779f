#!/usr/bin/env bash
# Prints the folder that holds the linters of AsyncAPI and OpenAPI documents, fetching them if they are not there.
#
#   node "$(scripts/get-spec-linters.sh)/lint.mjs" schemas/asyncapi.json schemas/openapi.json
#
# Looked for in this order:
#   1. $SKYLINK_SPEC_LINTERS      an explicit choice
#   2. .tools/spec-linters        what an earlier run of this script fetched
#   3. the npm registry, pinned by version and hash; needs Node.js 20 or later with npm
#
# Only the folder goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
source="$root/scripts/spec-linters"

say() { printf 'get-spec-linters: %s\n' "$*" >&2; }

if [[ -n "${SKYLINK_SPEC_LINTERS:-}" ]]; then
    [[ -f "$SKYLINK_SPEC_LINTERS/lint.mjs" ]] || {
        say "SKYLINK_SPEC_LINTERS=$SKYLINK_SPEC_LINTERS holds no lint.mjs: correct it, or unset it to have them fetched"
        exit 1
    }
    printf '%s\n' "$SKYLINK_SPEC_LINTERS"
    exit 0
fi

# What was fetched for other versions is fetched again.
if ! diff --recursive --brief --exclude node_modules "$source" "$tools/spec-linters" >/dev/null 2>&1; then
    command -v npm >/dev/null || {
        say "npm is missing: install Node.js 20 or later (Debian: apt-get install nodejs npm)"
        exit 1
    }
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    cp -r "$source" "$staging/spec-linters"
    # Nothing that comes with them is run while they are installed.
    (cd "$staging/spec-linters" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || {
        say "npm could not install them, for the reason above"
        exit 1
    }
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/spec-linters"
    mv -T "$staging/spec-linters" "$tools/spec-linters"
    say "fetched the linters of specifications into .tools/"
fi
printf '%s\n' "$tools/spec-linters"
