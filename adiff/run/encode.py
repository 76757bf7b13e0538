"""Tokens of a data set, made beforehand by the codec of a workdir: `--mode=encode`.

The work is cut into shards, each whole batches of examples, as samples are (shards.py): a run that
is killed goes on at the last of them, and several hosts share them, each alone on its own devices,
whichever is free. Who made a shard changes no bit of it, so that the set is byte for byte what one
host makes in one go. What is written: data/token_file.py; who reads it: data/encoded.py.

Of a training example several copies may be kept: the first as it is, others moved as pictures may
be, each a function of (seed, split, example, copy). Held-out examples are never moved.
"""

import contextlib
import functools
import json
import os
from concurrent import futures
from typing import NamedTuple

import tqdm

from adiff.data import encoded, facts_file, token_file
from adiff.machine import files, hosts, provenance, storage
from adiff.run import choose, codec_file, division, encode_shard, kept, output, places
from adiff.run import workdir as workdir_lib


class Job(NamedTuple):
  """What is encoded, and where to."""

  work: encode_shard.Work
  name: str  # of the codec, as a choice
  shards: tuple[encode_shard.Shard, ...]
  folder: str
  facts: dict  # all that the set follows from

  @property
  def key(self) -> str:
    """16 hex digits of the facts."""
    return files.digest(json.dumps(self.facts, sort_keys=True))

  def path(self, shard) -> str:
    """Its file."""
    return token_file.path(self.folder, shard.split, shard.index)

  def owner(self, shard) -> tuple[str, str]:
    """What it bears."""
    return self.key, f'{shard.split} {shard.first}'


def encode(
  workdir, out, *, data=None, batch=256, copies=1, flip=False, crop=0, seed=None
) -> str:
  """Encodes the data of a workdir, or those of its form that lie at `data`, into the folder `out`;
  returns what there is, in words. All hosts of a job call it; a killed one goes on.

  batch: examples that are encoded together. copies: of every training picture, the first as it is,
  of the others half mirrored (flip), each shifted by up to `crop` pixels. seed: of the moves, by
  default the config's. Raises ValueError for a workdir without a codec, data that it does not take,
  a folder that is not ours to write, or that another command has begun; OSError where the disk
  refuses.
  """
  config = workdir_lib.load(workdir)
  moves = encode_shard.Moves(copies, flip, crop, config.seed if seed is None else seed)
  job = _job(workdir, config, out, data, batch, moves)
  hosts.outlive()

  def begin():
    _check_out(job)
    held.enter_context(workdir_lib.lock(job.folder, 'is being written'))
    workdir_lib.check_made_by(job.folder, job.facts, 'delete it, or choose another --out')
    return _is_done(job)

  with contextlib.ExitStack() as held:
    done = hosts.by_first(begin)
    hosts.together(lambda: division.check_joined(job.folder, job.facts))
    if not done:
      hosts.together(lambda: _encode(job))
      hosts.by_first(lambda: _end(job))
    return hosts.by_first(lambda: _said(job))


# ---- What is to be made --------------------------------------------------------------------------


def _job(workdir, config, out, data, batch, moves):
  """The same on every host."""
  told, codec = kept.stored(workdir, config)
  if told['facts']['medium'] == 'law':
    raise ValueError(
      f'{workdir} has no codec: its examples are drawn from a law, as tokens, or are of several '
      'parts; name the workdir of a run on pictures or texts'
    )
  source = choose.resolve('data', places.placed(config, data).data)
  if source.encoded_by is not None:
    raise ValueError(
      f'the data of {workdir} are tokens already, in {source.encoded_by.folder}; encode what they '
      'were made of, from the workdir that made them'
    )
  _check_form(workdir, told, source.facts)
  _check_moves(source.facts, moves)
  _check_conds(workdir, codec, source.facts)
  if data is None:
    workdir_lib.check_data(workdir, told['fingerprint'], source.coded(codec).fingerprint)
  work = encode_shard.Work(source, codec, batch, moves)
  shards, name = tuple(encode_shard.shards(work)), told['codec']['name']
  return Job(work, name, shards, os.fspath(out), _made_by(work, name, shards))


def _check_form(workdir, told, facts):
  """Raises ValueError for examples that the codec of a workdir was not made for."""
  found, wanted = facts_file.told(facts), told['facts']
  for key in ('medium', 'shape', 'levels'):
    if found[key] != wanted[key]:
      raise ValueError(
        f'the examples to encode have the {key} {found[key]}, and the codec of {workdir} takes '
        f'{wanted[key]}; name data of that form'
      )


def _check_conds(workdir, codec, facts):
  """Raises ValueError where the codec makes conditions of examples, which tokens do not show."""
  made = codec.spec(facts).conds.keys() - facts.conds.keys()
  if made:
    raise ValueError(
      f'the codec of {workdir} makes the condition {min(made)} of each picture, which a set of '
      'tokens does not hold; train on the pictures'
    )


def _check_moves(facts, moves):
  """Raises ValueError for copies that would all be the same, or that cannot be made."""
  moving = moves.flip or moves.crop > 0
  if moves.copies == 1 and moving:
    raise ValueError('--flip and --crop move the further copies of pictures; write --copies=2, too')
  if moves.copies > 1 and not moving:
    raise ValueError(
      f'--copies={moves.copies} would all be the same; write how they move, --flip or --crop=PIXELS'
    )
  if moving and not (facts.medium == 'image' and facts.levels):
    raise ValueError('--copies moves the pixels of pictures, which these are not; leave it away')
  fixed = [name for name, cond in facts.conds.items() if cond.per_token]
  if moving and fixed:
    raise ValueError(
      f'--copies does not move the condition {fixed[0]}, which belongs to places of a picture; '
      'leave it away'
    )
  if moves.crop and moves.crop >= min(facts.shape[:2]):
    raise ValueError(
      f'--crop={moves.crop} moves pictures of {facts.shape[:2]} pixels out of sight; write a '
      'smaller one'
    )


def _made_by(work, name, shards):
  """Everything that a set of tokens follows from."""
  with hosts.alone():
    return {
      'data': work.source.fingerprint,
      'examples': {split: work.source.size(split) for split in work.source.splits},
      'codec': {'name': name, 'digest': work.codec.digest},
      'batch': work.batch,
      'shard': shards[0].size,
      **work.moves._asdict(),
      'hardware': provenance.hardware(),
      'program': provenance.program(),
    }


def _check_out(job):
  """Raises ValueError or OSError where the set cannot be written to its folder."""
  source, spec = job.work.source, job.work.codec.spec(job.work.source.facts)
  size = 0  # of texts nobody knows it
  if source.facts.medium != 'text':
    one = spec.num_tokens * (1 if spec.kind.discrete else 4 * spec.kind.dim)
    missing = (shard for shard in job.shards if not storage.exists(job.path(shard)))
    size = one * sum(shard.size * shard.copies for shard in missing)
  names = codec_file.FOLDER, token_file.FILE, workdir_lib.MADE_BY, 'lock'
  output.check_set(job.folder, names, source.splits, size=size)


# ---- Making it -----------------------------------------------------------------------------------


def _is_done(job):
  """Is the whole set there? A shard that is torn, or of another set, is set aside."""
  whole = [_is_whole(job, shard) for shard in job.shards]
  told = os.path.join(job.folder, token_file.FILE)
  if storage.exists(told) and not all(whole):
    files.delete(told)
  return storage.exists(told)


def _is_whole(job, shard):
  path = job.path(shard)
  if not files.lies(path):
    return False
  try:
    token_file.read_shard(path, job.owner(shard))
    return True
  except (ValueError, OSError) as error:
    storage.move(path, f'{path}.torn')
    print(f'{path} cannot be used ({error}); it is moved to {path}.torn and made again', flush=True)
    return False


def _encode(job):
  """Makes the shards that are not there and that no other host makes."""
  bar = tqdm.tqdm(
    total=sum(shard.size * shard.copies for shard in job.shards), unit='example', desc='encode',
    dynamic_ncols=True, disable=not hosts.first(), delay=0.1,
  )
  threads = encode_shard.threads(job.work)
  with hosts.alone(), bar as progress, futures.ThreadPoolExecutor(threads) as pool:
    for shard in job.shards:
      path = job.path(shard)
      there = storage.exists(path)
      if not there:  # whoever makes it
        hosts.saving(functools.partial(storage.exists, path))
      if there or not hosts.claim(f'{job.key}/{shard.split}/{shard.index}'):
        progress.update(shard.size * shard.copies)
        continue
      storage.make_folder(os.path.dirname(path))
      token_file.write_shard(
        path, job.owner(shard), *encode_shard.made(job.work, shard, pool, progress)
      )


def _end(job):
  """Tells of all shards, which other hosts may have made, and deletes what killed ones left."""
  splits, summed = {}, {}
  for shard in tqdm.tqdm(job.shards, 'digests', unit='shard', delay=1, leave=False):
    path = job.path(shard)
    hosts.seen(path, 'which another process has made')
    arrays = token_file.read_shard(path, job.owner(shard))
    about = {'examples': shard.size, 'rows': len(arrays['tokens']), 'bytes': storage.size(path),
             'sha256': files.sha256(path)}
    splits.setdefault(shard.split, {'copies': shard.copies, 'shards': []})['shards'].append(about)
    sums = summed.setdefault(shard.split, {})
    for one in encode_shard.SUMS:
      if one in arrays:
        sums[one] = sums.get(one, 0) + arrays[one]
  ours = {job.path(shard) for shard in job.shards}
  for split in splits:
    for name in files.names(os.path.join(job.folder, split)):
      if (path := os.path.join(job.folder, split, name)) not in ours:
        files.delete(path)
  codec = job.work.codec
  written = codec_file.write(job.folder, job.name, codec)
  token_file.write(job.folder, {
    'facts': facts_file.told(job.work.source.facts),
    'codec': places.own('codec', written['codec']), 'files': written['files'],
    'codec_digest': codec.digest, 'codec_words': encoded.words(codec),
    'splits': splits,
    'statistics': {split: encode_shard.statistics(one) for split, one in summed.items()},
    'made_by': job.facts,
  })


def _said(job):
  """What there is, in words."""
  told, words = token_file.read(job.folder), []
  for split, found in told['splits'].items():
    num = sum(shard['examples'] for shard in found['shards'])
    times = f' x {found["copies"]}' if found['copies'] > 1 else ''
    words.append(f'{num}{times} in {split}')
  found, *_ = told['statistics'].values()
  if 'share' in found:
    words.append(
      f'{found["share"]:.1%} of {found["symbols"]} symbols used, perplexity '
      f'{found["perplexity"]:.4g}'
    )
  return (
    f'{job.folder}: {", ".join(words)}; read it with --config.data.name=encoded '
    f'--config.data.data_dir={job.folder}'
  )
