"""What the binary does with a workdir, by its flags.

`flags` holds a value for each flag of main.py, as absl parses them.
"""

import os
from typing import Any

from adiff.machine import checkpoint, hosts, sharding
from adiff.run import (
  asked_for,
  division,
  editing,
  encode,
  evaluations,
  generate,
  handle,
  kept,
  modes,
  output,
  overrides,
  places,
  prompted,
  roles,
  shards,
)
from adiff.run import workdir as workdir_lib


def use(flags: Any) -> int:
  """Evaluates, samples or exports what a workdir holds; returns the exit code."""
  settings, evaluating = list(flags.set), flags.mode in ('eval', 'follow')
  if flags.mode == 'eval' and flags.split:
    settings.append(f'eval.split={flags.split}')
  config = workdir_lib.load(flags.workdir, settings)
  config = overrides.arrange(config, flags.workdir, **_how(flags))
  config = places.placed(config, flags.data) if evaluating else config
  parts = kept.parts(
    flags.workdir, config, examples=evaluating, others=flags.mode == 'eval' and bool(flags.data)
  )
  if evaluating:
    roles.measuring(parts).check(parts)
  else:
    roles.check_sampled(parts, flags.workdir)
  begun = num = None
  if flags.mode == 'sample':
    parts, begun, num = editing.begun(parts, flags.given, flags.edit, flags.num)
  hosts.by_first(lambda: _check_out(flags, parts, num))
  whole = flags.mode == 'eval' and not evaluations.several(flags.step)
  mesh = division.mesh(parts, flags.set, together=whole)
  placed = division.placed(parts, mesh)
  changes = modes.changes(flags.mode, flags)
  if flags.mode == 'follow':
    evaluations.Run(flags.workdir, parts, mesh, placed, changes=changes).follow()
  elif flags.mode == 'eval':
    run = evaluations.Run(flags.workdir, parts, mesh, placed, flags.average, changes=changes)
    hosts.say(run.evaluate(flags.step, flags.out))
  else:
    step = evaluations.one(flags.workdir, flags.step)
    with sharding.working(mesh):
      step, params = checkpoint.restore_params(flags.workdir, placed, step=step)
    hosts.say(_make(flags, parts, params, mesh, step, num, begun))
  return 0


def _how(flags) -> dict:
  """How a workdir's config is arranged."""
  return dict(block_size=flags.block_size, steps=flags.steps, solver=flags.solver)


def _out(flags) -> str:
  """Where samples, or an exported sampler, shall be."""
  name = 'exported' if flags.mode == 'export' else 'samples.npz'
  return os.path.join(flags.workdir, name) if flags.out is None else flags.out


def _check_out(flags, parts, num):
  """Raises ValueError where what is to be written cannot be: before anything is read or made."""
  if flags.mode == 'sample':
    shards.check(parts, num, _out(flags))
  elif flags.mode == 'export':
    output.check_export(_out(flags))


def _make(flags, parts, params, mesh, step, num, begun) -> str:
  """Samples into a file, or exports the sampler; returns where they are."""
  seed = _seed(flags, parts.config)
  if flags.mode == 'export':
    return generate.to_folder(parts, params, _out(flags), batch=flags.batch, seed=seed, step=step)
  return shards.to_file(
    parts, params, mesh, num=num, out=_out(flags), seed=seed, batch_size=flags.batch, begun=begun,
    told=None if flags.cond is None else asked_for.read(flags.cond, parts),
  )


def _seed(flags, config) -> int:
  """The seed of samples: the flag's, else the config's."""
  return config.seed if flags.seed is None else flags.seed


def write(flags: Any) -> int:
  """Writes on from the prompts, on the terminal."""
  step = evaluations.one(flags.workdir, flags.step)
  loaded = handle.load(flags.workdir, step=step, settings=flags.set, **_how(flags))
  seed = _seed(flags, loaded.parts.config)
  prompted.write(loaded, flags.prompt, seed=seed, num_tokens=flags.tokens)
  return 0


def encoded(flags: Any) -> int:
  """Makes tokens of data."""
  hosts.say(encode.encode(
    flags.workdir, flags.out, data=flags.data, batch=flags.batch, copies=flags.copies,
    flip=flags.flip, crop=flags.crop, seed=flags.seed,
  ))
  return 0
