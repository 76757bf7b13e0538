#!/usr/bin/env bash
# Evaluates every new checkpoint of a training run once, beside the run, until the last one.
#
#   launch/eval.sh WORKDIR ARGS...
#   launch/eval.sh runs/digits
#   launch/eval.sh /mnt/runs/digits --set=plan.steps=4
#
# It runs in the environment of launch/local.sh, on an accelerator in that one's: one that another
# launcher has made is used as it is, and ADIFF_VENV names any other (see launch/environment.sh).
# Stop it at any time and run it again: what is evaluated stays so. It ends with 0 after the last
# checkpoint, or where the run was stopped for good (WORKDIR/stopped lies there), and runs its own
# process again where that was pre-empted (exit code 75).
# DRY_RUN=1 prints the command and does not run it.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/launcher.sh"
manual "$@"
cd "$repository"
case "$1" in -*) refuse "'$1' is no workdir; write launch/eval.sh WORKDIR ARGS..." ;; esac

run_until_finished launch/local.sh --mode=follow --workdir="$1" "${@:2}"
