#!/usr/bin/env bash
# Runs the tests in the environment of launch/local.sh.
#
#   launch/test.sh                        all of them
#   launch/test.sh tests/test_optim.py    some of them; every argument of pytest works
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$python" -m pytest "$@"
