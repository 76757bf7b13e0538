# Sourced by the other scripts: builds or refreshes the virtual environment and sets `python`.
#
# The environment is made from requirements.lock (every version pinned) and made again only when the
# lock, the metadata or the interpreter changes. Variables:
#   ADIFF_VENV    its folder (default: .venv in the repository)
#   ADIFF_PYTHON  the interpreter to build it with (default: the first suitable python3.*)

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

# The lock is resolved for Python 3.11 and the CPU.
stamp="$(cat requirements.lock setup.cfg pyproject.toml | cksum)"
python="$venv/bin/python"
if [ ! -x "$python" ] || [ "$(cat "$venv/adiff.stamp" 2>/dev/null)" != "$stamp" ]; then
  base="$(find_python)"
  say "making $venv with $("$base" --version) from requirements.lock; this happens once"
  "$base" -m venv --clear "$venv"
  if "$python" -m pip install -q --disable-pip-version-check uv; then
    "$python" -m uv pip install -q --compile-bytecode --python "$python" -r requirements.lock
    "$python" -m uv pip install -q --python "$python" --no-deps --editable .
  else
    say 'uv cannot be installed; pip does the same, more slowly'
    "$python" -m pip install -q --disable-pip-version-check -r requirements.lock
    "$python" -m pip install -q --disable-pip-version-check --no-deps --editable .
  fi
  printf '%s\n' "$stamp" > "$venv/adiff.stamp"
  say "ready: $python"
fi

# On the CPU XLA asks for the memory of a training step anew at every step. Kept by the process, and on
# huge pages, steps took 10 to 45% less. Glibc 2.35 and newer. One arena for all threads (arena_max=1)
# would keep it for several programs in turn, as the benchmarks run them; one alone took up to 10%
# longer so, half as much memory again, and a fifth more compilation.
tunables=hugetlb=1:mmap_max=0:trim_threshold=100000000000
export GLIBC_TUNABLES="glibc.malloc.${tunables//:/:glibc.malloc.}${GLIBC_TUNABLES:+:$GLIBC_TUNABLES}"
