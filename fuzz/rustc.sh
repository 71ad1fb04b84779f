#!/usr/bin/env bash
# The compiler of the fuzzer's programs. Cargo-fuzz has it count in every crate which branches are taken. Only in ours and in those that
# read what strangers write does that lead to new inputs; in cryptography, stores and executors it takes time.
set -euo pipefail
compiler=$1
shift
[[ " $* " =~ " --crate-name "([a-z0-9_]+)" " ]] && crate=${BASH_REMATCH[1]} || crate=
case $crate in
    bench | cli | commands | engine | events | gateway | projections | tests) exec "$compiler" "$@" ;;
    base64 | csv | csv_core | form_urlencoded | hex | http | jiff | serde_json | serde_json_canonicalizer | url) exec "$compiler" "$@" ;;
esac
# The programs themselves, which libFuzzer's part is linked to.
[ -z "${CARGO_PRIMARY_PACKAGE:-}" ] || exec "$compiler" "$@"
flags=()
for flag in "$@"; do
    case $flag in
        -Cpasses=sancov-module | -Cllvm-args=-sanitizer-coverage-*) ;;
        *) flags+=("$flag") ;;
    esac
done
exec "$compiler" "${flags[@]}"
