#!/usr/bin/env bash
# Runs every test of the workspace, fetching the programs of others that they need first: a NATS server, a fake Stripe,
# a bookkeeping program that balances exported ledgers, the libraries with which Python checks receipts and reads events and
# Parquet, a push service for tests, clients of APNs and of Google that others keep, Google's description of FCM, linters of
# AsyncAPI and OpenAPI, a fuzzer of OpenAPI, a Chromium that pages are looked at with, and the engine of SurrealDB.
#
#   ./tests/run.sh                         all tests
#   ./tests/run.sh -p engine               arguments go to `cargo test --locked` in place of --workspace
#   ./tests/run.sh -p tests --test nats_harness
#
# Needs: a Rust toolchain with a C compiler (the cryptography library is partly C), python3 with pip, and
# Node.js with npm. See scripts/get-*.sh.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

need() {
    command -v "$1" >/dev/null || {
        printf 'tests/run.sh: %s is missing: %s\n' "$1" "$2" >&2
        exit 1
    }
}
need cargo "install Rust from https://rustup.rs"
need "${CC:-cc}" "install a C compiler (Debian: apt-get install build-essential; macOS: xcode-select --install)"

SKYLINK_NATS_SERVER=$("$root/scripts/get-nats-server.sh")
export SKYLINK_NATS_SERVER
SKYLINK_LOCALSTRIPE=$("$root/scripts/get-localstripe.sh")
export SKYLINK_LOCALSTRIPE
SKYLINK_BEANCOUNT=$("$root/scripts/get-beancount.sh")
export SKYLINK_BEANCOUNT
SKYLINK_CRYPTOGRAPHY=$("$root/scripts/get-cryptography.sh")
export SKYLINK_CRYPTOGRAPHY
SKYLINK_CHROMIUM=$("$root/scripts/get-chromium.sh")
export SKYLINK_CHROMIUM
SKYLINK_AXE=$("$root/scripts/get-axe.sh")
export SKYLINK_AXE
SKYLINK_NATSPY=$("$root/scripts/get-natspy.sh")
export SKYLINK_NATSPY
SKYLINK_PYARROW=$("$root/scripts/get-pyarrow.sh")
export SKYLINK_PYARROW
SKYLINK_WEB_PUSH_TESTING=$("$root/scripts/get-web-push-testing.sh")
export SKYLINK_WEB_PUSH_TESTING
SKYLINK_NODE_APN=$("$root/scripts/get-node-apn.sh")
export SKYLINK_NODE_APN
SKYLINK_GOOGLEAUTH=$("$root/scripts/get-googleauth.sh")
export SKYLINK_GOOGLEAUTH
SKYLINK_FCM_DESCRIPTION=$("$root/scripts/get-fcm-description.sh")
export SKYLINK_FCM_DESCRIPTION
SKYLINK_SPEC_LINTERS=$("$root/scripts/get-spec-linters.sh")
export SKYLINK_SPEC_LINTERS
SKYLINK_SCHEMATHESIS=$("$root/scripts/get-schemathesis.sh")
export SKYLINK_SCHEMATHESIS
SKYLINK_SURREALDB=$("$root/scripts/get-surrealdb.sh")
export SKYLINK_SURREALDB
printf 'tests/run.sh: %s (%s)\n' "$SKYLINK_NATS_SERVER" "$("$SKYLINK_NATS_SERVER" --version)"

cd "$root"
if (($# == 0)); then
    set -- --workspace
fi
exec cargo test --locked "$@"
