#!/usr/bin/env bash
# Prints the folder that holds beancount for Python, fetching it if it is not there: see get-python-package.sh.
#
#   PYTHONPATH=$(scripts/get-beancount.sh) python3 -m beancount.scripts.check journal.beancount
exec "$(dirname "${BASH_SOURCE[0]}")/get-python-package.sh" beancount beancount.scripts.check
