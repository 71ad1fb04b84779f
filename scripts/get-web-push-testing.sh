#!/usr/bin/env bash
# Prints the folder that holds web-push-testing, a push service for tests, fetching it if it is not there.
#
#   node "$(scripts/get-web-push-testing.sh)/node_modules/web-push-testing/src/bin/server.js" 8090
#
# Looked for in this order:
#   1. $SKYLINK_WEB_PUSH_TESTING      an explicit choice
#   2. .tools/web-push-testing        what an earlier run of this script fetched
#   3. the npm registry, pinned by version and hash; needs Node.js 20 or later with npm
#
# Only the folder goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
source="$root/scripts/web-push-testing"
server=node_modules/web-push-testing/src/bin/server.js

say() { printf 'get-web-push-testing: %s\n' "$*" >&2; }

if [[ -n "${SKYLINK_WEB_PUSH_TESTING:-}" ]]; then
    [[ -f "$SKYLINK_WEB_PUSH_TESTING/$server" ]] || {
        say "SKYLINK_WEB_PUSH_TESTING=$SKYLINK_WEB_PUSH_TESTING holds no $server: correct it, or unset it to have it fetched"
        exit 1
    }
    printf '%s\n' "$SKYLINK_WEB_PUSH_TESTING"
    exit 0
fi

# What was fetched for other versions is fetched again.
if ! diff --recursive --brief --exclude node_modules "$source" "$tools/web-push-testing" >/dev/null 2>&1; then
    command -v npm >/dev/null || {
        say "npm is missing: install Node.js 20 or later (Debian: apt-get install nodejs npm)"
        exit 1
    }
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    cp -r "$source" "$staging/web-push-testing"
    # Nothing that comes with it is run while it is installed.
    (cd "$staging/web-push-testing" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2 || {
        say "npm could not install it, for the reason above"
        exit 1
    }
    # To its place in one step, so that a run beside this one never sees half of it.
    rm -rf "$tools/web-push-testing"
    mv -T "$staging/web-push-testing" "$tools/web-push-testing"
    say "fetched web-push-testing into .tools/"
fi
printf '%s\n' "$tools/web-push-testing"
