"""Checkpoints on the disk, for tests that spoil them."""

import pathlib

from adiff.machine import manifest


def largest_file(workdir, step) -> pathlib.Path:
  """The largest file of a step."""
  files = [f for f in pathlib.Path(manifest.folder(workdir, step)).rglob('*') if f.is_file()]
  return max(files, key=lambda file: file.stat().st_size)
