"""Where a number comes from: the code that made it, and the machine that it was measured on."""

import os
import pathlib
import platform
import subprocess

import jax

from adiff.machine import contents, hosts

# What the commit is said of, seen from this file: the package, and the configs of the checkout.
_WATCHED = ('..', '../../configs')


def hardware() -> str:
  """What the numbers were measured on."""
  device, *others = hosts.devices()
  kind = (
    f'{os.cpu_count()} cores'
    if device.platform == 'cpu'
    else f'{1 + len(others)} x {device.device_kind}'
  )
  versions = f'jax {jax.__version__}, Python {platform.python_version()}'
  return f'{platform.machine()} {device.platform}, {kind}, {versions}'


def commit() -> str:
  """The checkout's commit, marked where code or configs differ from it; '' outside a checkout."""
  try:
    name = _git('rev-parse', '--short', 'HEAD')
    changed = name and _git('status', '--porcelain', '--untracked-files=no', '--', *_WATCHED)
  except FileNotFoundError:  # no git on this machine
    return ''
  return f'{name} with changes' if changed else name


def program() -> str:
  """16 hex digits of the package's own files, which a commit may not tell apart."""
  home = pathlib.Path(__file__).resolve().parents[1]
  return contents.digest(home, [path.relative_to(home).as_posix() for path in home.rglob('*.py')])


def _git(*words) -> str:
  """What git says of the checkout that holds this file; '' where it fails."""
  here = os.path.dirname(os.path.abspath(__file__))
  return subprocess.run(
    ['git', '-C', here, *words], capture_output=True, text=True, check=False
  ).stdout.strip()
