#!/usr/bin/env bash
# Runs the tests in the environment of launch/local.sh.
#
#   launch/test.sh                        all but those of the soak, in one process a core (at most four)
#   launch/test.sh tests/learn/test_optim.py    some of them; every argument of pytest works
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# -eq 0 ]; then
  # Whole files, in order: the long ones have few tests and would come last if the number decided.
  set -- --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
fi
exec "$python" -m pytest "$@"
