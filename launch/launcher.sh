# Sourced by the launchers: how they speak, what they refuse, and the exit codes of adiff.main.
#
# 0: finished. 75: pre-empted with everything saved, or left by another process after a checkpoint:
# run the same command again. 2: a mistake, which the same command would repeat. Anything else is for
# a person to read.

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
mistake=2
unfinished=75

say() { printf '[adiff] %s\n' "$*" >&2; }

refuse() {
  say "$@"
  exit "$mistake"
}

# Prints the comment at the head of the script for --help, or where there are no arguments.
manual() {
  case "${1:-}" in
    '' | -h | --help)
      awk 'NR > 1 && !/^#/ { exit } NR > 1 && !/^#SBATCH/ { sub(/^# ?/, ""); print }' "$0"
      [ "$#" -gt 0 ] || exit "$mistake"
      exit 0
      ;;
  esac
}

# need VARIABLE 'what it is, for example VARIABLE=value'
need() { [ -n "${!1:-}" ] || refuse "$1 is not set; it is $2"; }

# tool NAME 'where it comes from'; nothing is called in a dry run.
tool() {
  [ -n "${DRY_RUN:-}" ] || command -v "$1" > /dev/null || refuse "$1 is not on PATH; install $2"
}

# A resource's name, as clouds and clusters want it.
check_name() {
  [[ "$1" =~ ^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$ ]] || refuse "'$1' cannot be the NAME of a run" \
    'there; write at most 40 of a-z, 0-9 and -, the first one a letter, for example digits-1'
}

# check_workdir FOLDER ARGS...: every machine must see the workdir, in a bucket or below FOLDER.
check_workdir() {
  local folder="$1" word
  for word in "${@:2}"; do
    case "$word" in
      "--workdir=$folder/"* | --workdir=gs://?*) return ;;
      --workdir=*) refuse "$word is not a folder that every machine sees; write the absolute path" \
        "of one that they all mount, for example --workdir=${folder:-/mnt/runs}/digits, or a" \
        'bucket, --workdir=gs://BUCKET/digits' ;;
    esac
  done
  refuse '--workdir= is missing; write the absolute path of a folder that every machine mounts,' \
    "for example --workdir=${folder:-/mnt/runs}/digits"
}

# Shows a command as one could type it.
show() {
  local word line='$' quote="'" inside="'\\''"
  for word in "$@"; do
    if [[ "$word" =~ [^a-zA-Z0-9_.,:/=@%+-] ]]; then word="'${word//$quote/$inside}'"; fi
    line+=" $word"
  done
  say "$line"
}

# Shows a command and runs it; DRY_RUN=1 only shows it.
run() {
  show "$@"
  [ -n "${DRY_RUN:-}" ] || "$@"
}

# Runs a command again while it ends with 75; returns any other code. A signal to this script is
# passed on to the command, and its 75 then ends the series. PAUSE: seconds between two runs.
run_until_finished() {
  local child='' code told=''
  show "$@"
  [ -z "${DRY_RUN:-}" ] || return 0
  trap 'told=1; [ -z "$child" ] || kill -TERM "$child" 2> /dev/null || true' INT TERM
  while true; do
    "$@" &
    child=$!
    # A signal ends `wait` before the command has ended, with a code that is not the command's.
    while wait "$child" || true; kill -0 "$child" 2> /dev/null; do :; done
    code=0
    wait "$child" || code=$?
    if [ "$code" -ne "$unfinished" ] || [ -n "$told" ]; then return "$code"; fi
    say 'unfinished, everything is saved; running it again'
    sleep "${PAUSE:-10}"
    [ -z "$told" ] || return "$unfinished"
  done
}
