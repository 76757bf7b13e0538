"""What benchmarks/paired.py compares, in either layout of the project; jax is imported in workers
alone."""

import dataclasses
import functools
import importlib
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any


class Old:
  """The modules and what this script asks of them."""

  MODULES = {
    'build': 'adiff.build', 'generate': 'adiff.generate', 'cost': 'adiff.cost',
    'exported': 'adiff.exported',
  }

  def __init__(self):
    for name, module in self.MODULES.items():
      setattr(self, name, importlib.import_module(module))

  def parts(self, file, argument, **changes):
    """The parts of configs/FILE.py:ARGUMENT with other values of SECTION__KEY."""
    config = importlib.import_module(f'configs.{file}').get_config(argument)
    with config.unlocked():
      config.update_from_flattened_dict({k.replace('__', '.'): v for k, v in changes.items()})
    return self.build.build(config)

  def params(self, state):
    """What samplers take of a training state."""
    return state.params

  def sampled(self, sampler, num):
    """Examples of an exported sampler."""
    return sampler.draw(0, num)


class New(Old):
  """The same after the modules moved into rooms."""

  MODULES = {
    'build': 'adiff.run.build', 'generate': 'adiff.run.generate', 'cost': 'adiff.machine.cost',
    'exported': 'adiff.run.exported',
  }

  def params(self, state):
    return state.params['denoiser']

  def sampled(self, sampler, num):
    return sampler.sample(0, num)


def project(checkout):
  """The adapter of a checkout, which must be the one that is imported."""
  import adiff

  if not pathlib.Path(adiff.__file__).resolve().is_relative_to(checkout):
    raise RuntimeError(f'adiff was imported from {adiff.__file__} and not from {checkout}')
  return New() if (checkout / 'adiff' / 'run').exists() else Old()


# ---- Programs: functions of an adapter; jax is imported in the workers alone --------------------


@dataclasses.dataclass
class Program:
  """What is compiled, and how it is run."""

  function: Any  # jitted
  arguments: Callable  # () -> its arguments, may be traced
  carried: bool = False  # is its first result the first argument of the next call?
  sample: Callable | None = None  # what is timed, where that is not `function`
  counted: 'Program | None' = None  # whose products are counted, where `function` hides its own


def training(adiff, *, blocks, depth, batch_size):
  """A training step, jitted as train.make_update jits it: the state's buffers are used again."""
  import jax
  import jax.numpy as jnp

  num_tokens, width = 256, 384
  parts = adiff.parts(
    'toy', 'block-masked', data__num_tokens=num_tokens, blocks__size=num_tokens // blocks,
    model__width=width, model__depth=depth, model__heads=width // 64, train__batch_size=batch_size,
  )

  def update(state, batch):
    return parts.recipe.update(state, batch, jax.random.fold_in(jax.random.key(1), state.step))

  def arguments():
    shape = batch_size, num_tokens
    tokens = jax.random.randint(jax.random.key(2), shape, 0, parts.process.num_outputs)
    batch = {'tokens': tokens, 'label': jnp.zeros(batch_size, jnp.int32)}
    return parts.recipe.init(jax.random.key(0)), batch

  return Program(jax.jit(update, donate_argnums=0), arguments, carried=True)


def rollout(adiff, *, blocks, guided):
  """Samples of a network of random parameters, block by block through the cache."""
  num_tokens, width = 256, 384
  scale = 1.5 if guided else 1.0
  return _sampler(adiff, adiff.parts(
    'toy', 'block-gaussian', data__num_tokens=num_tokens, blocks__size=num_tokens // blocks,
    plan__steps=4, solver__name='first_order', guidance__scale=scale, guidance__first=scale,
    model__width=width, model__depth=6, model__heads=width // 64,
  ), num=1)


def exported(adiff):
  """A batch drawn by a folder that `generate.to_folder` wrote."""
  import jax
  import jax.numpy as jnp
  from jax import export

  num = 128
  parts = adiff.parts('digits', 'short')
  params = adiff.params(jax.jit(parts.recipe.init)(jax.random.key(0)))
  with tempfile.TemporaryDirectory() as place:
    folder = os.path.join(place, 'exported')
    adiff.generate.to_folder(parts, params, folder, batch=num, seed=0, step=0)
    stored = export.deserialize(bytearray(pathlib.Path(folder, 'program.bin').read_bytes()))
    sampler = adiff.exported.Sampler(folder)

  def arguments():
    zeros = [jnp.zeros(one.shape, one.dtype) for one in stored.in_avals]
    return jax.tree.unflatten(stored.in_tree, zeros)[0]

  return Program(
    jax.jit(stored.call), arguments, sample=lambda: adiff.sampled(sampler, num),
    counted=_sampler(adiff, parts, num),
  )


def _sampler(adiff, parts, num):
  """The compiled sampler of a model."""
  import jax

  def arguments():
    params = adiff.params(parts.recipe.init(jax.random.key(0)))
    labels = adiff.generate.balanced_labels(parts.spec.num_classes, 0, num)
    return params, adiff.generate.example_keys(0, 0, num), labels

  return Program(adiff.generate.make_sampler(parts), arguments)


PROGRAMS = {
  **{
    f'train-deep{depth}-blocks{blocks}':
      functools.partial(training, blocks=blocks, depth=depth, batch_size=batch_size)
    for depth, batch_size in ((2, 4), (6, 2)) for blocks in (1, 4, 16)
  },
  **{
    f'rollout-blocks{blocks}' + guided * '-guided':
      functools.partial(rollout, blocks=blocks, guided=guided)
    for blocks in (1, 8) for guided in (False, True)
  },
  'exported-digits': exported,
}
