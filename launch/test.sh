#!/usr/bin/env bash
# Runs the tests in the environment of launch/local.sh.
#
#   launch/test.sh                        all of them, in one process a core (at most four)
#   launch/test.sh tests/test_optim.py    some of them; every argument of pytest works
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# -eq 0 ]; then
  set -- --numprocesses=logical --maxprocesses=4 --dist=loadfile
fi
exec "$python" -m pytest "$@"
