#!/usr/bin/env bash
# Hands a training run to a Kubernetes cluster that has JobSet: launch/k8s_jobset.yaml, filled in.
#
#   IMAGE=... CLAIM=... HOSTS=4 launch/k8s.sh NAME ARGS...
#   IMAGE=mine/adiff:1 CLAIM=shared HOSTS=2 RESOURCE=nvidia.com/gpu COUNT=8 \
#     launch/k8s.sh digits --config=configs/digits.py --workdir=/runs/digits
#   DRY_RUN=1 ... launch/k8s.sh NAME ARGS... > mine.yaml      to edit and to apply yourself
#
# The cluster starts the run again when it ends with 75. Run the same command again at any time: a
# run that waits, runs or is finished is left alone, a failed one is started again and resumes.
#
# Variables:
#   IMAGE     launch/docker/Dockerfile, where the cluster can pull it
#   CLAIM     a PersistentVolumeClaim that all hosts may write; MOUNT: its path (default: /runs)
#   HOSTS     processes, one a host (default: 1)
#   RESOURCE  what each host gives (default: cpu), COUNT: how many (default: 4)
#   MAX_RESTARTS  after failures that are no pre-emption (default: 10)
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/launcher.sh"
manual "$@"
export NAME="$1" HOSTS="${HOSTS:-1}" MOUNT="${MOUNT:-/runs}" RESOURCE="${RESOURCE:-cpu}" \
  COUNT="${COUNT:-4}" MAX_RESTARTS="${MAX_RESTARTS:-10}"
shift
check_name "$NAME"
check_workdir "$MOUNT" "$@"
need IMAGE 'the image of the run, for example IMAGE=mine/adiff:1; launch/docker/Dockerfile makes it'
need CLAIM 'a PersistentVolumeClaim that all hosts may write, for example CLAIM=shared'
tool kubectl 'it'
tool python3 'it'

# A list of words in JSON is one in YAML, whatever they hold; so are the values.
filled_in="$(python3 - "$repository/launch/k8s_jobset.yaml" "$@" << 'PYTHON'
import json, os, re, sys
text = ''.join(line for line in open(sys.argv[1]) if not line.startswith('#'))
values = {**os.environ, 'ARGS': json.dumps(sys.argv[2:])}
print(re.sub(r'\$\{(\w+)\}', lambda found: values[found[1]], text), end='')
PYTHON
)"
if [ -n "${DRY_RUN:-}" ]; then
  say "\$ kubectl apply -f - << YAML"
  printf '%s\n' "$filled_in"
  exit
fi

there="$(kubectl get jobset "$NAME" --ignore-not-found \
  -o 'jsonpath={.metadata.name} {.status.terminalState}')"
case "$there" in
  *' Completed') say "$NAME is finished"; exit ;;
  *' Failed') run kubectl delete jobset "$NAME" ;;
  "$NAME"*) say "$NAME is already there"; exit ;;
esac
run kubectl apply -f - <<< "$filled_in"
labels="jobset.sigs.k8s.io/jobset-name=$NAME,batch.kubernetes.io/job-completion-index=0"
say "what its first process prints: kubectl logs --follow --selector=$labels"
