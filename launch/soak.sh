#!/usr/bin/env bash
# The long proof, in the environment of launch/local.sh: kills, and every toy regime.
#
#   launch/soak.sh                    the same command goes on where it was stopped
#   launch/soak.sh --samples=50000    see the head of launch/soak.py for all arguments
#
# Writes benchmarks/soak.md; exits with 1 if an entry has failed.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

exec "$python" -m launch.soak "$@"
