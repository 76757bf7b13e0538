"""The runs of a study: which there are, where they lie, and what comes before each."""

import dataclasses
import os
from collections.abc import Iterator

from adiff.run import studies as studies_lib

TUNED_SEED = 1_000_000  # of the networks that settings are chosen with, and of no others
TABLE, SETTINGS, CODEC = 'table', 'settings', 'codec'  # what a run is for


@dataclasses.dataclass(frozen=True)
class Run:
  """One training of a study."""

  use: str  # TABLE, SETTINGS or CODEC
  row: studies_lib.Row  # of a codec what trains it
  seed: int
  workdir: str
  needs: tuple[str, ...] = ()  # workdirs of the runs that come before it


def of(asked, out) -> Iterator[Run]:
  """All of them, in order: codecs, what settings are chosen with, a seed of every row before the
  next."""
  for row in dict.fromkeys(row.codec_row for row in asked.rows if row.codec_row):
    yield Run(CODEC, row, 0, codec(out, row))
  for row in asked.rows:
    if is_tuned(asked, row):
      yield Run(SETTINGS, row, TUNED_SEED, tuned(out, row), codecs(out, row))
  for seed in range(asked.seeds):
    for row in asked.rows:
      if seed < asked.seeds_of(row):
        needs = *codecs(out, row), *([tuned(out, row)] if is_tuned(asked, row) else ())
        yield Run(TABLE, row, seed, os.path.join(out, f'{row.word}-seed{seed}'), needs)


def is_tuned(asked, row) -> bool:
  """Has a row settings to choose from?"""
  return bool(asked.tuned) and not row.untuned


def tuned(out, row) -> str:
  """The workdir of the network that the settings of a row are chosen with."""
  return os.path.join(out, f'{row.word}-tuned')


def codec(out, row) -> str:
  """The workdir of a codec, of what trains it as a row."""
  return os.path.join(out, f'{row.word}-codec')


def codecs(out, row) -> tuple[str, ...]:
  """The workdirs of the codecs of a row: one or none."""
  return (codec(out, row.codec_row),) if row.codec_row else ()
