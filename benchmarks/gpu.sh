#!/usr/bin/env bash
# One GPU, nine minutes: the flash kernel's tests, the suites in bfloat16, and a training.
#
#   benchmarks/gpu.sh                        in the environment that is there
#   benchmarks/gpu.sh WHEELS                 a folder of wheels of the packages that it lacks
#   benchmarks/gpu.sh WHEELS DATA            DATA holds cifar10/VERSION in TFDS form
#   benchmarks/gpu.sh WHEELS DATA FOLDER     where gpu.md and gpu.json go (default: benchmarks)
#
# '' for WHEELS or DATA is none; without DATA pictures are made up, and the page says so. Needs Python
# 3.11 or newer with jax for CUDA, flax, optax, orbax and chex. gpu.md and gpu.json are written after
# every part: what is cut off still tells.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${ADIFF_PYTHON:-python3}"
wheels="${1:-}" data="${2:-}" folder="${3:-benchmarks}"
if [ -n "$wheels" ]; then
  site="$(mktemp -d)"
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
"$python" -m benchmarks.gpu --data="$data" --folder="$folder" ${ADIFF_GPU_ARGUMENTS:-}
