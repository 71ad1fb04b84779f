#!/usr/bin/env bash
# Prints the folder that holds the engine of SurrealDB and a program that serves it, fetching them if they are not there: see
# get-npm-package.sh. The engine comes for Linux, macOS and Windows in one package of 160 MB.
#
#   node "$(scripts/get-surrealdb.sh)/server.mjs" FOLDER root secret NAMESPACE DATABASE
exec "$(dirname "${BASH_SOURCE[0]}")/get-npm-package.sh" surrealdb server.mjs
