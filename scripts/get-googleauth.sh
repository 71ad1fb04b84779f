#!/usr/bin/env bash
# Prints the folder that holds google-auth for Python, Google's own client of its access tokens, fetching it if it is not there: see
# get-python-package.sh. It needs what get-cryptography.sh prints on PYTHONPATH, too.
exec "$(dirname "${BASH_SOURCE[0]}")/get-python-package.sh" googleauth google.auth.jwt
