#!/usr/bin/env bash
# Training steps on the devices of a TPU host, beside the dry run's roofline: tokens a second,
# utilisation.
#
#   benchmarks/tpu.sh                   every row, in the environment that is there
#   benchmarks/tpu.sh --only=dit_xl     see the head of benchmarks/tpu.py for all arguments
#
# ADIFF_PYTHON names the interpreter; without it .venv of the repository is taken, which
# launch/tpu_pod.sh, or ADIFF_EXTRA=tpu launch/local.sh, has made. tpu.md and tpu.json are written
# after every row: what is cut off still tells.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${ADIFF_PYTHON:-.venv/bin/python}"
if ! command -v "$python" > /dev/null; then
  echo "[adiff] there is no $python; name the interpreter of the TPU's environment:" \
    'ADIFF_PYTHON=/path/to/python' >&2
  exit 2
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m benchmarks.tpu "$@"
