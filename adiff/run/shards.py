"""Samples into one file, made in shards, so that a run that is killed goes on at the last of them,
and that several hosts share them.

Where the parameters fit a host, each makes whole shards on its own devices, whichever is free and
not there (division.py), else all make one after another together; the first host begins, and at the
end merges. Which host made a shard changes no bit of it: a shard is whole batches, example i is
made of (seed, i) alone, and every host has an equal mesh. So a job that one host has begun may be
ended by two, and the other way round.

  OUT                        npz: arr_0 (the examples), arr_1 (their labels), see output.arrays
  OUT.parts/made_by.json     everything that the samples follow from
  OUT.parts/000004096.npz    a shard, by the number of its first example
"""

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
import tqdm

from adiff.judge.metrics import maps
from adiff.machine import array_file, files, hosts, provenance, sharding, storage
from adiff.run import (
  asked,
  asked_for,
  build,
  division,
  drafted,
  editing,
  generate,
  output,
  places,
)
from adiff.run import workdir as workdir_lib
from adiff.sequence import conditions


class Job(NamedTuple):
  """What is sampled."""

  parts: build.Parts
  num: int
  folder: str  # of the shards
  shard: int  # examples of one
  key: str  # 16 hex digits of what the samples follow from: every shard bears them
  told: dict | None = None  # what the samples are asked for, see asked_for.read
  begun: editing.Begun = editing.Begun()

  @property
  def names(self) -> tuple[str, ...]:
    """Of the arrays of a shard."""
    parts = self.parts.source.facts.parts
    return tuple(output.arrays(self.parts.source.facts, dict.fromkeys(parts), None))

  def starts(self) -> Iterator[int]:
    """The first example of each shard."""
    return iter(range(0, self.num, self.shard))

  def path(self, start) -> str:
    """The file of a shard."""
    return os.path.join(self.folder, f'{start:09d}.npz')

  def size(self, start) -> int:
    """Its examples."""
    return min(self.shard, self.num - start)


def to_file(
  parts: build.Parts, params, mesh, *, num, out, seed, batch_size, shard=None, told=None,
  begun=editing.Begun()
) -> str:
  """Samples num examples into the npz `out`; a killed run continues at its last shard. All hosts of
  a job call it.

  shard: examples of one, by default some batches. told: what they are asked for, used in a circle,
  see asked_for.read; None: labels balanced, or none of what is edited. begun: what they begin with,
  see editing.py. Raises ValueError for a file or a folder that is not ours to write, more examples
  than there can be, shards of other samples, or hosts that make others or share no disk; OSError
  where the disk refuses.
  """
  shard = _shard_size(mesh, num, batch_size) if shard is None else shard
  with sharding.working(mesh):
    facts = made_by(parts, params, mesh, num=num, seed=seed, batch_size=batch_size, shard=shard)
  told = _told(parts, told, begun)
  if told is not None:
    facts['cond'] = asked_for.digest(told)
  if begun.held is not None:
    leaves = jax.tree.leaves(begun.held)
    facts['given'] = [files.digest(np.ascontiguousarray(one)) for one in leaves]
    facts |= {'start': parts.plan.start, 'resamples': parts.plan.resamples}
  key = files.digest(json.dumps(facts, sort_keys=True))
  job = Job(parts, num, f'{out}.parts', shard, key, told, begun)

  def begin():
    check(parts, num, out)
    held.enter_context(workdir_lib.lock(job.folder, 'is being written'))
    workdir_lib.check_made_by(job.folder, facts, 'delete it, or choose another --out')
    for start in job.starts():
      _is_whole(job, start)

  with contextlib.ExitStack() as held:
    hosts.by_first(begin)
    hosts.together(lambda: division.check_joined(job.folder, facts))
    hosts.together(lambda: _sample(job, params, mesh, seed, batch_size))
    hosts.by_first(lambda: _end(job, out))
  return out


def _told(parts, told, begun):
  """What samples are asked for, with what follows from what they begin with."""
  label = conditions.LABEL
  if (begun.held is not None or begun.low is not None) and label in parts.spec.conds:
    told = {label: np.array([-1], np.int32), **({} if told is None else told)}
  if begun.low is not None:
    low = parts.coded.codec.asked('low', begun.low)
    low = parts.spec.conds['low'].checked('low', low, len(begun.low), parts.spec.num_tokens)
    told = {**({} if told is None else told), 'low': low}
  return told


def _shard_size(mesh, num, batch_size):
  """Whole batches: 16 of them, or fewer where hosts would have too few shards to share."""
  batch = sharding.round_up(mesh, batch_size)
  return batch * min(max(num // (64 * batch), 1), 16)


def check(parts, num, out) -> None:
  """Raises ValueError where num examples cannot be made, or `out` cannot take them."""
  asked.examples(num)
  folder = f'{out}.parts'
  there = files.names(folder)
  if workdir_lib.MADE_BY not in there:
    files.check_replaceable(folder, (workdir_lib.MADE_BY, 'lock'))
  # Shards and the whole of them, a byte a value: it will be more. A text may be empty.
  size = 0 if parts.spec.medium == 'text' else 2 * num * parts.spec.dims
  made = sum(storage.size(os.path.join(folder, name)) for name in there)
  output.check_file(out, size=size - made)


def made_by(parts, params, mesh, *, num, seed, batch_size, shard) -> dict:
  """Everything that samples follow from: the whole config but for where data lies, what the
  checkpoint means and holds, the arguments, the program and the machine."""
  draft = parts.speculative.draft
  return {
    'config': places.without(workdir_lib.as_json(parts.config)),
    'contract': parts.contract,
    'params': _digest(params),
    'draft': _digest(drafted.opened(draft)[1]) if draft else None,
    'num': num,
    'seed': seed,
    'batch_size': batch_size,
    'shard': shard,
    'mesh': dict(mesh.shape),
    'hardware': provenance.hardware(),
    'program': provenance.program(),
  }


def _digest(params):
  """Of parameters and their names."""
  return files.digest(*(
    piece for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    for piece in (f'{sharding.path_name(path)} ', sharding.whole(leaf))
  ))


def _sample(job, params, mesh, seed, batch_size):
  """Makes the shards that are not there and that no other host makes."""
  bar = tqdm.tqdm(
    total=job.num, unit='sample', dynamic_ncols=True, disable=not hosts.first(), delay=0.1
  )
  sampler = None
  with sharding.working(mesh), bar as progress:
    for start in job.starts():
      there = hosts.told(storage.exists(job.path(start)))
      if not there:  # whoever makes it
        hosts.saving(functools.partial(storage.exists, job.path(start)))
      if there or not hosts.claim(f'{job.key}/{start}'):
        progress.update(job.size(start))
        continue
      if sampler is None:
        labels, told = asked_for.split(job.told or {})
        sampler = generate.Sampler(
          job.parts, params, mesh, seed=seed, batch_size=batch_size, labels=labels, told=told,
          given=job.begun.held,
        )
      tokens, labels, _, _ = sampler.sample(start, job.size(start), progress=progress)
      if hosts.first():
        _write(job, start, _decoded(job, start, tokens), labels)


def _decoded(job, start, tokens):
  """Examples, of the low resolution that they shall have."""
  examples = job.parts.coded.decode(tokens)
  if job.begun.low is None:
    return examples
  own = np.take(job.begun.low, np.arange(start, start + len(examples)), axis=0, mode='wrap')
  return maps.consistent(examples, own, job.parts.source.facts.levels)


def _write(job, start, examples, labels):
  arrays = output.arrays(job.parts.source.facts, examples, labels)
  with files.whole(job.path(start), 'wb') as file:
    np.savez(file, **arrays, made_by=np.array([job.key, str(start)]))


def _end(job, out):
  """Makes one file of the shards, which are deleted; what says whose they are goes last, so that
  those which a killed run leaves are known."""
  for start in job.starts():
    hosts.seen(job.path(start), 'which another process has made')
  with files.whole(out, 'wb') as file:
    _merge(job, file)
  for name in files.names(job.folder):
    if name not in (workdir_lib.MADE_BY, 'lock'):
      files.delete(os.path.join(job.folder, name))
  files.delete(job.folder)


def _read(job, start):
  """{name: array} of a shard; raises ValueError where it is not whole, or of other samples."""
  found = array_file.npz(job.path(start), (*job.names, 'made_by'))
  if found['made_by'].tolist() != [job.key, str(start)]:
    raise ValueError(f'{job.path(start)} is of other samples')
  if any(len(found[name]) != job.size(start) for name in job.names):
    raise ValueError(f'in {job.path(start)} examples are missing')
  return found


def _is_whole(job, start):
  """Is the shard there, to its last byte, and of these samples? Else it is set aside."""
  path = job.path(start)
  if not files.lies(path):
    return False
  try:
    _read(job, start)
    return True
  except (ValueError, OSError) as error:
    aside = f'{path}.torn'
    storage.move(path, aside)
    print(f'{path} cannot be used ({error}); it is moved to {aside} and made again', flush=True)
    return False


def _merge(job, file):
  """Writes the npz of all shards, with one of them in memory at a time."""
  dtypes, shapes = {name: set() for name in job.names}, {}
  for start in job.starts():
    found = _read(job, start)
    for name in job.names:
      dtypes[name].add(found[name].dtype)  # texts differ in length
      shapes[name] = (job.num, *found[name].shape[1:])

  def pieces(name):
    for start in job.starts():
      yield _read(job, start)[name]

  array_file.write_npz(file, {
    name: (shapes[name], np.result_type(*dtypes[name]), pieces(name)) for name in job.names
  })
