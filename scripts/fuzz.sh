#!/usr/bin/env bash
# Tries all targets of the fuzzer, or those that are named, with coverage: scripts/fuzz.sh RUNS [TARGET…]. docs/fuzzing.md says what they
# are. One runs on each processor. Below fuzz/target stands what each printed (logs) and learned (corpus); what finds something
# is written to fuzz/artifacts, and the script fails.
set -euo pipefail
runs=${1:?"say how often each is tried: scripts/fuzz.sh RUNS [TARGET…]"}
shift
command -v cargo-fuzz > /dev/null || {
    echo "scripts/fuzz.sh: cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2
    exit 1
}
cd "$(dirname "$0")/../fuzz"
if [ $# = 0 ]; then
    for folder in corpus/*; do set -- "$@" "${folder#corpus/}"; done
fi

export CARGO_INCREMENTAL=0 RUSTC_WRAPPER="$PWD/rustc.sh"
cargo +nightly fuzz build -O -s none --fuzz-dir . --target-dir target

try() {
    mkdir -p target/{corpus,seeds}/"$1" target/logs artifacts/"$1"
    local log=target/logs/$1 verdict="nothing found"
    SKYLINK_FUZZ_SEEDS=target/seeds target/*/release/"$1" -runs="$runs" -max_len=4096 -print_final_stats=1 \
        -artifact_prefix=artifacts/"$1"/ {target/corpus,corpus,target/seeds}/"$1" > "$log" 2>&1 || verdict="FAILED, see fuzz/$log"
    echo "$1: $(sed -n 's/^Done \(.*\)/\1: /p' "$log")$verdict"
    [ "$verdict" = "nothing found" ]
}
export runs
export -f try
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'try {}'
