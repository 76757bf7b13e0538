#!/usr/bin/env bash
# Runs the tests in the environment of launch/local.sh.
#
#   launch/test.sh                        all of them, in a process more than cores (at most four)
#   launch/test.sh tests/learn/test_optim.py    some of them; every argument of pytest works
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ $# -eq 0 ]; then
  # One more than cores, since some tests wait for processes of their own. Whole files, in order: the
  # long ones have few tests and would come last if the number decided.
  workers="$("$python" -c 'import os; print(min(4, os.cpu_count() + 1))')"
  set -- --numprocesses="$workers" --dist=loadfile --no-loadscope-reorder
fi
exec "$python" -m pytest "$@"
