#!/usr/bin/env bash
# Trains on all hosts of a Cloud TPU slice, which it asks for, until the run is finished.
#
#   ZONE=... ACCELERATOR=... launch/tpu_pod.sh NAME ARGS...
#   ZONE=us-west4-a ACCELERATOR=v5litepod-16 SPOT=1 launch/tpu_pod.sh digits \
#     --config=configs/digits.py --workdir=gs://mine/digits
#   export SETUP='mountpoint -q /mnt/runs || sudo mount --mkdir 10.0.0.2:/runs /mnt/runs'
#   ... launch/tpu_pod.sh digits --config=configs/digits.py --workdir=/mnt/runs/digits
#
# Asks for the slice as a queued resource, waits for it, puts the current commit on every host and
# runs it there. A run that ends with 75 is run again, and a slice that was taken away is asked for
# again; other exit codes are those of this script. The slice stays until you delete it: the last
# line says how. When this script is stopped the hosts train on, and the same command waits for them.
#
# Variables:
#   ZONE, ACCELERATOR  where, and which kind and size    RUNTIME  the image of the hosts
#   SPOT=1             cheaper, may be taken away        PROJECT  default: gcloud's own
#   SETUP              a command for every host before every run, harmless when repeated
#   PAUSE              seconds between two looks at the slice (default: 30)
#   DRY_RUN=1          prints the commands and does not run them
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/launcher.sh"
manual "$@"
name="$1"
shift
check_name "$name"
check_workdir '' "$@"
need ZONE 'the zone of the slice, for example ZONE=us-west4-a'
need ACCELERATOR 'the kind and size of the slice, for example ACCELERATOR=v5litepod-256'
tool gcloud 'the Google Cloud SDK'
case "$ACCELERATOR" in
  v5litepod-*) image=v2-alpha-tpuv5-lite ;;
  v5p-*) image=v2-alpha-tpuv5 ;;
  v6e-*) image=v2-alpha-tpuv6e ;;
  *) image=tpu-ubuntu2204-base ;;
esac
queue=(gcloud compute tpus queued-resources)
hosts=(gcloud compute tpus tpu-vm)
place=(--zone="$ZONE" --quiet ${PROJECT:+--project="$PROJECT"})
temporary="$(mktemp -d)"
trap 'rm -rf "$temporary"' EXIT

# NONE, or the state of the request; where that is ACTIVE, the state of the hosts: READY is good.
state() {
  local found
  if ! found="$("${queue[@]}" describe "$name" --format='value(state.state)' "${place[@]}" \
      2> "$temporary/error")"; then
    if grep -qi 'not.found' "$temporary/error"; then echo NONE; else cat "$temporary/error" >&2; fi
  elif [ "$found" = ACTIVE ]; then
    "${hosts[@]}" describe "$name" --format='value(state)' "${place[@]}" || true
  else
    echo "$found"
  fi
}

ask() {
  run "${queue[@]}" create "$name" --node-id="$name" --accelerator-type="$ACCELERATOR" \
    --runtime-version="${RUNTIME:-$image}" ${SPOT:+--spot} "${place[@]}"
}

# Returns when the hosts are there; asks for them where nobody has, or they were taken away.
wait_for_hosts() {
  local asked='' now before=''
  [ -z "${DRY_RUN:-}" ] || { ask; return; }
  while now="$(state)"; [ "$now" != READY ]; do
    [ "$now" = "$before" ] || say "slice $name: ${now:-unknown}"
    before="$now"
    case "$now" in
      NONE)
        ask
        asked=1
        continue
        ;;
      SUSPENDED | FAILED | PREEMPTED | TERMINATED)
        if [ "$now$asked" = FAILED1 ]; then
          say "the request was refused; ${queue[*]} describe $name ${place[*]} says why"
          exit 1
        fi
        run "${queue[@]}" delete "$name" --force "${place[@]}"
        continue
        ;;
    esac
    sleep "${PAUSE:-30}"
  done
  say "slice $name: READY"
}

on_hosts() { run "${hosts[@]}" ssh "$name" --worker=all --command="$1" "${place[@]}"; }

# The commit that is checked out, in a folder of its own: an older one may still be running.
folder="adiff-$(git -C "$repository" rev-parse --short HEAD)"
[ -z "$(git -C "$repository" status --porcelain)" ] ||
  say 'what is not committed stays behind; the hosts get the commit alone'
git -C "$repository" archive --prefix="$folder/" -o "$temporary/$folder.tar.gz" HEAD
# The images bring an older Python; uv brings its own.
install="test -e $folder/installed || { tar xzf $folder.tar.gz && cd $folder && \
PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install -q --user uv && \
python3 -m uv venv -q --clear --python=3.11 .venv && \
python3 -m uv pip install -q --python=.venv -c requirements.lock -e .[tpu,gcs] && touch installed; }"
# The lock: a host whose connection was lost may still be training.
train="cd $folder && exec 9> ~/adiff.lock && flock 9 && \
exec .venv/bin/python -m adiff.main --processes=auto $(printf '%q ' "$@")"

lost=0
while true; do
  wait_for_hosts
  code=0
  {
    run "${hosts[@]}" scp "$temporary/$folder.tar.gz" "$name:" --worker=all "${place[@]}" &&
      on_hosts "$install" && { [ -z "${SETUP:-}" ] || on_hosts "$SETUP"; } && on_hosts "$train"
  } || code=$?
  case "$code" in
    0 | "$mistake") break ;;
    "$unfinished") say 'unfinished, everything is saved; running it again' ;;
    *) say "the hosts ended with $code" ;;
  esac
  sleep "${PAUSE:-30}"  # a slice that is being taken away takes a moment to say so
  case "$code" in
    "$unfinished") lost=0 ;;
    255) # the connection was lost, perhaps with the slice
      lost=$((lost + 1))
      [ "$lost" -lt 5 ] || break
      ;;
    *) [ "$(state)" != READY ] || break ;;
  esac
done
say "to give the slice back: ${queue[*]} delete $name --force ${place[*]}"
exit "$code"
