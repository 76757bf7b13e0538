#!/usr/bin/env bash
# Runs the tests in the environment of launch/local.sh.
#
#   launch/test.sh                        all of them, in one process more than there are cores (at
#                                         most four)
#   launch/test.sh tests/test_optim.py    some of them; every argument of pytest works
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# -eq 0 ]; then
  # Whole files, in order: the long ones have few tests and would come last if the number decided.
  # Tests that wait for a binary leave their core to the process too many.
  processes=$(($(getconf _NPROCESSORS_ONLN) + 1))
  set -- --numprocesses="$processes" --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
fi
exec "$python" -m pytest "$@"
