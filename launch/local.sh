#!/usr/bin/env bash
# Trains, evaluates or samples on this machine; the same --workdir resumes where it stopped.
#
#   launch/local.sh                                   the first run: handwritten digits, a few minutes
#   launch/local.sh --config=configs/digits.py --workdir=runs/mine --config.train.steps=2000
#   launch/local.sh --mode=sample --workdir=runs/mine
#
# Makes its own environment at the first call (see launch/environment.sh).
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

if [ "$#" -gt 0 ]; then
  exec "$python" -m adiff.main "$@"
fi
say 'no arguments: running --config=configs/digits.py --workdir=runs/digits'
"$python" -m adiff.main --config=configs/digits.py --workdir=runs/digits
say "report: $repository/runs/digits/report.html"
