#!/usr/bin/env bash
# Prints the folder that holds cryptography for Python, fetching it if it is not there: see get-python-package.sh.
#
#   PYTHONPATH=$(scripts/get-cryptography.sh) python3 schemas/verify/verify.py receipt receipt.json market.jwk
exec "$(dirname "${BASH_SOURCE[0]}")/get-python-package.sh" cryptography cryptography.hazmat.primitives.asymmetric.ed25519
