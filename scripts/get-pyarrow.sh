#!/usr/bin/env bash
# Prints the folder that holds pyarrow, fetching it if it is not there: see get-python-package.sh.
#
#   PYTHONPATH=$(scripts/get-pyarrow.sh) python3 -c 'import pyarrow.parquet as p; print(p.read_table("events.parquet"))'
exec "$(dirname "${BASH_SOURCE[0]}")/get-python-package.sh" pyarrow pyarrow.parquet
