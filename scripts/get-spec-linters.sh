#!/usr/bin/env bash
# Prints the folder that holds the linters of AsyncAPI and OpenAPI documents, fetching them if they are not there: see get-npm-package.sh.
#
#   node "$(scripts/get-spec-linters.sh)/lint.mjs" schemas/asyncapi.json schemas/openapi.json
exec "$(dirname "${BASH_SOURCE[0]}")/get-npm-package.sh" spec-linters lint.mjs
