#!/usr/bin/env bash
# Prints the folder that holds schemathesis, fetching it if it is not there: see get-python-package.sh.
#
#   PYTHONPATH=$(scripts/get-schemathesis.sh) python3 -m schemathesis.cli run http://127.0.0.1:8080/openapi.json
exec "$(dirname "${BASH_SOURCE[0]}")/get-python-package.sh" schemathesis schemathesis.cli
