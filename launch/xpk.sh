#!/usr/bin/env bash
# Hands a training run to a cluster of TPU slices that xpk has made.
#
#   CLUSTER=mine TPU_TYPE=v5litepod-256 IMAGE=... ZONE=... launch/xpk.sh NAME ARGS...
#   CLUSTER=mine TPU_TYPE=v5litepod-16 IMAGE=mine/adiff:1 ZONE=us-west4-a \
#     launch/xpk.sh digits --config=configs/digits.py --workdir=gs://mine/digits
#
# The cluster starts the run again, on all hosts, when it ends with 75 or a host is lost; other codes
# end it. Run the same command again at any time: a run that waits, runs or is finished is left
# alone, a failed one is started again and resumes.
#
# Variables:
#   CLUSTER, ZONE  the cluster and its zone         TPU_TYPE  a slice, for example v5litepod-256
#   IMAGE          launch/docker/Dockerfile, built with EXTRA=tpu, where the cluster can pull it
#   SLICES         how many (default: 1), each with its share of every batch of a training run
#   STORAGE        xpk's name of a shared folder
#   PROJECT        default: gcloud's own            MAX_RESTARTS  default: 1000
#   DRY_RUN=1      prints the command and does not run it
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/launcher.sh"
manual "$@"
name="$1"
shift
check_name "$name"
check_workdir '' "$@"
need CLUSTER 'the name of the cluster, for example CLUSTER=mine'
need ZONE 'the zone of the cluster, for example ZONE=us-west4-a'
need TPU_TYPE 'the kind and size of a slice, for example TPU_TYPE=v5litepod-256'
need IMAGE 'the image of the run, for example IMAGE=mine/adiff:1; launch/docker/Dockerfile makes it'
tool xpk 'it with: pip install xpk'

slices="${SLICES:-1}"
[[ "$slices" =~ ^[1-9][0-9]{0,3}$ ]] || refuse "SLICES=$slices is no number of slices; write SLICES=2"
# The axis of the mesh that lies over the network between slices; evaluations take what is there.
case "$slices $* " in
  1' '* | *' --config.mesh.slices='*) ;;
  *' --config'[=\ ]*) set -- "$@" --config.mesh.slices="$slices" ;;
esac

cluster=(--cluster="$CLUSTER" --zone="$ZONE" ${PROJECT:+--project="$PROJECT"})
if [ -z "${DRY_RUN:-}" ]; then
  listed="$(xpk workload list "${cluster[@]}" --filter-by-job="$name")"
  # xpk filters by a part of the name; a row holds the whole one as a word of its own.
  row="$(awk -v name="$name" '{ for (i = 1; i <= NF; i++) if ($i == name) print }' <<< "$listed")"
  case "$row" in
    '') ;;
    *Finished*[Ff]ailed*) run xpk workload delete --workload="$name" "${cluster[@]}" ;;
    *Finished*) say "$name is finished"; exit 0 ;;
    *) say "$name is already there: $row"; exit 0 ;;
  esac
fi

# `exec`, so that the signal of a pre-emption reaches Python.
run xpk workload create --workload="$name" "${cluster[@]}" \
  --tpu-type="$TPU_TYPE" --num-slices="$slices" --docker-image="$IMAGE" \
  ${STORAGE:+--storage="$STORAGE"} --restart-on-exit-codes=75 \
  --max-restarts="${MAX_RESTARTS:-1000}" --termination-grace-period-seconds=90 \
  --command="exec python -m adiff.main --processes=auto $(printf '%q ' "$@")"
