#!/usr/bin/env bash
# Prints the folder that holds node-apn, a client of APNs that others keep, fetching it if it is not there: see get-npm-package.sh.
# The tests hold what the market sends against what it sends.
exec "$(dirname "${BASH_SOURCE[0]}")/get-npm-package.sh" node-apn node_modules/@parse/node-apn/index.js
