#!/usr/bin/env bash
# Prints the folder that holds web-push-testing, a push service for tests, fetching it if it is not there: see get-npm-package.sh.
#
#   node "$(scripts/get-web-push-testing.sh)/node_modules/web-push-testing/src/bin/server.js" 8090
exec "$(dirname "${BASH_SOURCE[0]}")/get-npm-package.sh" web-push-testing node_modules/web-push-testing/src/bin/server.js
