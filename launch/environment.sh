# Sourced by the other scripts: builds or refreshes the virtual environment and sets `python`.
#
# The environment is made from requirements.lock (every version pinned) and made again only when the
# lock, the metadata or the interpreter changes. One that was not made here is used as it is where it
# has jax, as on the hosts of launch/tpu_pod.sh, and is never changed. Variables:
#   ADIFF_VENV    its folder (default: .venv in the repository)
#   ADIFF_PYTHON  the interpreter to build it with (default: the first suitable python3.*)
#   ADIFF_EXTRA   cuda, cuda13 or tpu: for that accelerator; an environment remembers it

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${ADIFF_VENV:-$repository/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
cd "$repository"

say() { printf '[adiff] %s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in ${ADIFF_PYTHON:-python3.11 python3.12 python3 python}; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
        >/dev/null 2>&1; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  say 'Python 3.11 or newer, with its venv module, is needed and none was found;' \
    'install one, or name it: ADIFF_PYTHON=/path/to/python3.11'
  return 1
}

# The first line of adiff.stamp: checksum, size, extra; `0 0` until all is installed.
read_stamp() {
  local remembered
  stamp="$(cat requirements.lock setup.cfg pyproject.toml | cksum)"
  made="$(cat "$venv/adiff.stamp" 2>/dev/null || true)"
  read -r _ _ remembered <<< "$made" || true
  extra="${ADIFF_EXTRA:-$remembered}"
  stamp+="${extra:+ $extra}"
}
read_stamp
python="$venv/bin/python"

# Is there something in the folder that these scripts have not put there?
foreign() {
  [ -z "$made" ] && [ -e "$venv" ] || return 1
  local found=("$venv"/* "$venv"/.[!.]*)
  [ ! -d "$venv" ] || [ -e "${found[0]}" ] || [ -e "${found[1]}" ]
}

up_to_date() { [ -x "$python" ] && [ "$made" = "$stamp" ]; }

# Of several launchers one makes the environment, and the others wait for it, where there is flock.
make_once() {
  if command -v flock > /dev/null \
      && { mkdir -p "${venv%/*}" && exec 9>> "$venv.lock"; } 2> /dev/null; then
    flock -n 9 || { say "another launcher makes $venv; waiting for it"; flock 9; }
    read_stamp
  fi
  local code=0
  up_to_date || make_environment || code=$?
  exec 9>&-
  return "$code"
}

# The lock is resolved for Python 3.11 and the CPU; an accelerator's packages come besides.
make_environment() {
  local base entry
  base="$(find_python)" || return
  say "making $venv with $("$base" --version) from requirements.lock; this happens once"
  mkdir -p "$venv"
  printf '0 0%s\n' "${extra:+ $extra}" > "$venv/adiff.stamp"
  for entry in "$venv"/* "$venv"/.[!.]*; do
    [ "$entry" = "$venv/adiff.stamp" ] || rm -rf -- "$entry"
  done
  "$base" -m venv "$venv" || return
  local installer=("$python" -m uv pip install -q --python "$python" --compile-bytecode)
  if ! "$python" -m pip install -q --disable-pip-version-check uv; then
    say 'uv cannot be installed; pip does the same, more slowly'
    installer=("$python" -m pip install -q --disable-pip-version-check)
  fi
  "${installer[@]}" -r requirements.lock || return
  if [ -n "$extra" ]; then
    "${installer[@]}" -c requirements.lock --editable ".[$extra]" || return
  else
    "${installer[@]}" --no-deps --editable . || return
  fi
  printf '%s\n' "$stamp" > "$venv/adiff.stamp"
  say "ready: $python"
}

case "$extra" in
  '' | cuda | cuda13 | tpu) ;;
  *)
    say "ADIFF_EXTRA=$extra is no accelerator; write cuda, cuda13 or tpu"
    exit 2
    ;;
esac
if foreign; then
  if ! "$python" -c 'import importlib.util as u, sys
sys.exit(not all(map(u.find_spec, ("jax", "flax", "orbax"))))' 2> /dev/null; then
    say "$venv was not made by these scripts and has no jax, so it is left alone; delete it, or" \
      'name another folder: ADIFF_VENV=/path/to/environment'
    exit 2
  fi
  say "$venv was not made by these scripts; it is used as it is"
elif ! up_to_date; then
  make_once || return
fi

# On the CPU XLA asks for the memory of a training step anew at every step. Kept by the process, and on
# huge pages, steps took 10 to 45% less. Glibc 2.35 and newer. One arena for all threads (arena_max=1)
# would keep it for several programs in turn, as the benchmarks run them; one alone took up to 10%
# longer so, half as much memory again, and a fifth more compilation.
tunables=hugetlb=1:mmap_max=0:trim_threshold=100000000000
export GLIBC_TUNABLES="glibc.malloc.${tunables//:/:glibc.malloc.}${GLIBC_TUNABLES:+:$GLIBC_TUNABLES}"
