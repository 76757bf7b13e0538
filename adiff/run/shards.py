"""Samples into one file, made in shards, so that a run that is killed goes on at the last of them.

  OUT                        npz: arr_0 (the examples), arr_1 (their labels)
  OUT.parts/made_by.json     everything that the samples follow from
  OUT.parts/000004096.npz    a shard, by the number of its first example
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
import tqdm

from adiff.machine import array_file, files, provenance, sharding, storage
from adiff.run import asked, build, generate, output
from adiff.run import workdir as workdir_lib


class Job(NamedTuple):
  """What is sampled."""

  parts: build.Parts
  num: int
  folder: str  # of the shards
  shard: int  # examples of one
  key: str  # 16 hex digits of what the samples follow from: every shard bears them

  def starts(self) -> Iterator[int]:
    """The first example of each shard."""
    return iter(range(0, self.num, self.shard))

  def path(self, start) -> str:
    """The file of a shard."""
    return os.path.join(self.folder, f'{start:09d}.npz')

  def size(self, start) -> int:
    """Its examples."""
    return min(self.shard, self.num - start)


def to_file(parts: build.Parts, params, mesh, *, num, out, seed, batch_size, shard=4096) -> str:
  """Samples num examples into the npz `out`; a killed run continues at its last shard.

  Example i depends on (seed, i) alone. Raises ValueError for a file or a folder that is not ours to
  write, more examples than there can be, or shards of other samples; OSError where the disk
  refuses.
  """
  check(parts, num, out)
  facts = made_by(parts, params, mesh, num=num, seed=seed, batch_size=batch_size, shard=shard)
  folder = f'{out}.parts'
  with workdir_lib.lock(folder, 'is being written'):
    workdir_lib.check_made_by(folder, facts, 'delete it, or choose another --out')
    job = Job(parts, num, folder, shard, files.digest(repr(facts)))
    _sample(job, params, mesh, seed, batch_size)
    with files.whole(out, 'wb') as file:
      _merge(job, file)
    files.delete(folder)
  return out


def check(parts, num, out) -> None:
  """Raises ValueError where num examples cannot be made, or `out` cannot take them."""
  asked.examples(num)
  folder = f'{out}.parts'
  there = files.names(folder)
  if workdir_lib.MADE_BY not in there and set(there) - {'lock'}:
    raise ValueError(f'{folder} holds {there[0]!r}; move it away, or choose another --out')
  # Shards and the whole of them, a byte a value: it will be more. A text may be empty.
  size = 0 if parts.spec.medium == 'text' else 2 * num * parts.spec.dims
  made = sum(storage.size(os.path.join(folder, name)) for name in there)
  output.check_file(out, size=size - made)


def made_by(parts, params, mesh, *, num, seed, batch_size, shard) -> dict:
  """Everything that samples follow from: the whole config, what the checkpoint means and holds, the
  arguments, the program and the machine."""
  return {
    'config': workdir_lib.as_json(parts.config),
    'contract': parts.contract,
    'params': files.digest(*(
      piece for path, leaf in jax.tree_util.tree_leaves_with_path(params)
      for piece in (f'{sharding.path_name(path)} ', np.asarray(leaf))
    )),
    'num': num,
    'seed': seed,
    'batch_size': batch_size,
    'shard': shard,
    'mesh': dict(mesh.shape),
    'hardware': provenance.hardware(),
    'program': provenance.program(),
  }


def _sample(job, params, mesh, seed, batch_size):
  """Makes the shards that are not there; a torn or foreign one is set aside and made again."""
  done = sum(job.size(start) for start in job.starts() if _is_whole(job, start))
  if done == job.num:
    return
  sampler = generate.Sampler(job.parts, params, mesh, seed=seed, batch_size=batch_size)
  with tqdm.tqdm(total=job.num, initial=done, unit='sample', dynamic_ncols=True) as progress:
    for start in job.starts():
      if not storage.exists(job.path(start)):
        tokens, labels, _, _ = sampler.sample(start, job.size(start), progress=progress)
        with files.whole(job.path(start), 'wb') as file:
          np.savez(
            file, job.parts.coded.decode(tokens), labels, made_by=np.array([job.key, str(start)]),
          )


def _is_whole(job, start):
  """Is the shard there, to its last byte, and of these samples?"""
  path = job.path(start)
  if not files.lies(path):
    return False
  try:
    found = array_file.npz(path, (*output.SAMPLES, 'made_by'))
    if found['made_by'].tolist() != [job.key, str(start)]:
      raise ValueError('it is of other samples')
    if any(len(found[name]) != job.size(start) for name in output.SAMPLES):
      raise ValueError('examples are missing')
    return True
  except (ValueError, OSError) as error:
    aside = f'{path}.torn'
    storage.move(path, aside)
    print(f'{path} cannot be used ({error}); it is moved to {aside} and made again', flush=True)
    return False


def _merge(job, file):
  """Writes the npz of all shards, with one of them in memory at a time."""
  dtypes, shapes = {name: set() for name in output.SAMPLES}, {}
  for start in job.starts():
    for name, values in array_file.npz(job.path(start)).items():
      if name in dtypes:
        dtypes[name].add(values.dtype)  # texts differ in length
        shapes[name] = (job.num, *values.shape[1:])

  def pieces(name):
    for start in job.starts():
      yield array_file.npz(job.path(start))[name]

  array_file.write_npz(file, {
    name: (shapes[name], np.result_type(*dtypes[name]), pieces(name)) for name in output.SAMPLES
  })
