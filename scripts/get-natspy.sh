#!/usr/bin/env bash
# Prints the folder that holds nats-py, fetching it if it is not there: see get-python-package.sh.
#
#   PYTHONPATH=$(scripts/get-natspy.sh) python3 examples/analytics_consumer.py --once
exec "$(dirname "${BASH_SOURCE[0]}")/get-python-package.sh" natspy nats
