#!/usr/bin/env bash
# Checks the locked dependencies against the RustSec list of known vulnerabilities.
#
# Needs the internet, since the list changes daily; so it is not part of .ci/run, whose answer for one commit
# must not change with the day. Run it daily and before a release. Exceptions and their reasons: deny.toml.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo_deny=$(scripts/get-cargo-deny.sh)
exec "$cargo_deny" --locked check advisories
