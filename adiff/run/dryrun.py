"""Does it fit, and how fast would it be? Compiles the real training step of a config, and its
sampler or its encoder and decoder, for devices that need not be there, and asks the compiler; where
there is none, the cost model."""

import collections
import dataclasses
import importlib.util
import math
import re

import jax
import numpy as np

from adiff.learn import base as learn_base
from adiff.machine import collectives, cost, rates, sharding
from adiff.run import build, generate, train
from adiff.run import parts as parts_lib
from adiff.run import tokenizer as tokenizer_lib
from adiff.sequence import values

MOST_DEVICES = 2**16


def devices_of(topology, slices=1) -> list | int:
  """The devices of `slices` slices of 'v5e:16x16' (any TPU topology) or 'cpu:8', or, for '', those
  that are here; of TPUs their number where the package libtpu is missing.

  Raises ValueError for a name that is not understood, and for a topology that cannot be made.
  """
  if not topology:
    return jax.devices()
  kind, _, size = topology.partition(':')
  sides = [int(side) for side in re.findall(r'\d{1,7}', size)]
  count = slices * math.prod(sides)
  if not all(sides) or count > MOST_DEVICES or re.search(r'\d{8}', size):
    times = f', times mesh.slices={slices},' if slices > 1 else ''
    raise ValueError(
      f'--topology={values.shown(topology)[1:-1]}{times} has no device, or more than '
      f'{MOST_DEVICES}; write for example v5e:16x16 or cpu:8'
    )
  if kind == 'cpu' and size.isdecimal():
    jax.config.update('jax_num_cpu_devices', count)
    return jax.devices('cpu')
  if not re.fullmatch(r'v\d+\w*', kind) or not re.fullmatch(r'\d+(x\d+)+', size):
    raise ValueError(f'--topology={topology} is not understood; write v5e:16x16 or cpu:8')
  if not importlib.util.find_spec('libtpu'):
    if kind not in rates.KINDS:
      known = ', '.join(rates.KINDS)
      raise ValueError(f'--topology={topology}: without libtpu write one of {known}')
    return count
  from jax.experimental import topologies

  more = {'num_slices': slices} if slices > 1 else {}
  try:
    return topologies.get_topology_desc(topology, platform='tpu', **more).devices
  except Exception as error:
    raise ValueError(
      f'--topology={topology} cannot be made: {str(error).splitlines()[0]}'
    ) from error


@dataclasses.dataclass(frozen=True)
class Program:
  """What one program needs, of one device."""

  memory: dict[str, int]  # bytes by part
  moved: dict  # bytes between devices, as collectives.moved has them
  flops: float  # of the model
  bytes: float  # what its matrix products read and write
  predicted: dict = dataclasses.field(default_factory=dict)  # bytes, as cost.moved has them
  host: int = 0  # bytes of the host's memory
  refused: str = ''  # why it was not compiled, as TPUs' compilers refuse what is too large
  unread: str = ''  # why it is not known what it moves
  leaving: dict = dataclasses.field(default_factory=dict)  # {how it is known: bytes a slice}
  said: str | None = None  # what flops are of what is done, see cost.Cost

  @property
  def total(self) -> int:
    return sum(self.memory.values())

  def fits(self, chip: rates.Chip) -> bool:
    return not self.refused and self.total <= chip.memory

  def seconds(self, chip: rates.Chip) -> dict[str, float]:
    """What arithmetic, memory and, where known, links take; together at least the longest."""
    links = {} if self.unread else {'links': sum(self.moved.values()) / chip.links}
    return {
      'arithmetic': self.flops / chip.rate, 'memory': self.bytes / chip.bandwidth, **links
    }


def training_step(parts: parts_lib.Parts, devices) -> Program:
  """Compiles a training step, as train.py does. devices: where they are but a number, nothing is
  compiled, and moved is what cost.moved predicts, memory without what a layer needs meanwhile."""
  mesh = build.build_mesh(parts, devices)
  abstract = cost.state(parts)
  shardings = build.state_shardings(parts, mesh, abstract)
  rows = sharding.placed(cost.examples(parts), sharding.batch_sharding(mesh))
  state = sharding.placed(abstract, shardings)
  host = sharding.local_bytes(state, away=True)
  memory = {
    'parameters': sharding.local_bytes(state.params), 'average': sharding.local_bytes(state.ema),
    'optimiser': sharding.local_bytes(state.opt), 'batch': sharding.local_bytes(rows),
  }
  predicted, compiled, refused = cost.moved(parts, mesh), None, ''
  if not isinstance(devices, int):
    try:
      with jax.set_mesh(mesh):
        compiled = train.make_update(parts, mesh, shardings).lower(state, rows).compile()
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      refused = str(error).splitlines()[0]
  if compiled is None:
    moved, predicted = {('predicted', axes): size for axes, size in predicted.items()}, {}
    memory['gradients'] = sharding.local_bytes(state.params)
    memory['kept for the backward pass'] = cost.kept(parts) // mesh.size
  else:
    needs = compiled.memory_analysis()
    memory['activations and gradients'] = needs.temp_size_in_bytes
    memory['program'] = needs.generated_code_size_in_bytes
    host += needs.host_temp_size_in_bytes
    moved = collectives.moved(compiled.as_text(), mesh)
  needed = cost.step(parts)
  update = cost.UPDATE * sharding.local_bytes(state.params)
  return Program(
    memory, moved, needed.flops / mesh.size, max(needed.bytes / mesh.size, update), predicted, host,
    refused,
    leaving=_leaving(moved, predicted, mesh), said=needed.said,
  )


def rollout(parts: build.Parts, devices) -> Program:
  """Compiles the sampler, for one example a part of the batch; devices as in training_step."""
  mesh = build.build_mesh(parts, devices)
  batch = sharding.rows(mesh)
  params = cost.params(parts)
  params = sharding.placed(params, build.state_shardings(parts, mesh, params))
  needed, moved, unread = generate.rollout(parts, batch), {}, ''
  memory = {'parameters': sharding.local_bytes(params), 'cache': needed.cache_bytes // batch}
  if not isinstance(devices, int):
    inputs = sharding.placed(
      (jax.eval_shape(lambda: generate.example_keys(0, 0, batch)),
       jax.ShapeDtypeStruct((batch,), np.int32)), sharding.batch_sharding(mesh))
    with jax.set_mesh(mesh):
      compiled = generate.make_sampler(parts, mesh=mesh).lower(params, *inputs).compile()
    needs = compiled.memory_analysis()
    memory['activations'] = max(needs.temp_size_in_bytes - memory['cache'], 0)
    memory['program'] = needs.generated_code_size_in_bytes
    try:
      moved = collectives.moved(compiled.as_text(), mesh)
    except jax.errors.JaxRuntimeError as error:  # libtpu 0.0.52 cannot print all that it compiles
      unread = str(error).splitlines()[0]
  read = needed.evaluations * memory['parameters']
  return Program(
    memory, moved, needed.flops / mesh.size, max(needed.bytes / mesh.size, read), unread=unread,
    leaving=_leaving(moved, {}, mesh), said=needed.said,
  )


def _leaving(moved, predicted, mesh):
  """What leaves a slice over the slow network, in the program and by the rules alone."""
  rules = {('predicted', axes): size for axes, size in predicted.items()}
  known = {'found': moved, 'predicted from the rules': rules}
  return {
    how: size for how, one in known.items() if (size := collectives.leaving(one, mesh))
  }


def coding(parts: tokenizer_lib.Parts, devices) -> dict[str, Program]:
  """{'encoder', 'decoder': Program} of a codec, whose parameters are copied, for one example a part
  of the batch; devices as in training_step."""
  mesh, served = build.build_mesh(parts, devices), cost.params(parts)
  rows = sharding.batch_sharding(mesh)
  x = parts.recipe.batch(sharding.rows(mesh))['tokens']

  def encode(served, x):
    return parts.recipe.network(served, learn_base.CODEC).encode(x)

  def decode(served, codes):
    return parts.recipe.network(served, learn_base.CODEC).decode(codes)

  def program(function, given):
    placed = sharding.placed(served, sharding.replicated(mesh)), sharding.placed(given, rows)
    memory = dict(zip(('parameters', 'batch'), map(sharding.local_bytes, placed), strict=True))
    needed, moved = cost.count(function, *placed), {}
    if not isinstance(devices, int):
      compiled = jax.jit(function, out_shardings=rows).lower(*placed).compile()
      needs = compiled.memory_analysis()
      memory['activations'] = needs.temp_size_in_bytes
      memory['program'] = needs.generated_code_size_in_bytes
      moved = collectives.moved(compiled.as_text(), mesh)
    return Program(
      memory, moved, needed.flops / mesh.size, max(needed.bytes / mesh.size, memory['parameters']),
      leaving=_leaving(moved, {}, mesh), said=needed.said,
    )

  codes = jax.eval_shape(encode, served, x)
  return {'encoder': program(encode, x), 'decoder': program(decode, codes)}


# What makes a step smaller, from cheap to dear: (words, changes of the config).
def _changes(config, count):
  """Candidates for a config that does not fit on `count` devices."""
  part = 'model' if config.model.name else 'coder'
  mesh, network, train = config.mesh, config[part], config.train
  groups = mesh.tensor * mesh.sequence
  whole = count // mesh.slices // groups  # what a slice can be split into
  shard = {'mesh.data': -1, 'mesh.fsdp': whole}
  whole_layers = network.get('remat', 'layers') in ('layers', 'offload')
  remat = {} if whole_layers else {'model.remat': 'layers'}
  away = {'train.offload': 'average'}
  parts = [train.microbatches * times for times in (2, 4, 8, 16, 32, 64)]
  rows = train.batch_size // (count // groups)
  split = [{'train.microbatches': n} for n in parts if rows % n == 0]
  half = {f'{part}.dtype': 'bfloat16'}
  wanted = [
    *([half] if network.dtype == 'float32' else []),
    *([shard] if mesh.fsdp < whole else []),
    *([remat] if remat else []),
    *([shard | remat] if mesh.fsdp < whole and remat else []),
    *([shard | remat | away] if train.offload == 'none' else []),
    *split,
    *(change | shard | remat for change in split),
  ]
  return [change for i, change in enumerate(wanted) if change not in wanted[:i]]


def _with(config, change):
  """A copy of the config with dotted keys set."""
  config = config.copy_and_resolve_references()
  with config.unlocked():
    config.update_from_flattened_dict(change)
  return config


def dryrun(config, topology) -> int:
  """Compiles a training step and a sampler, or an encoder and a decoder, for `topology`, and prints
  what they need; returns the exit code: 0, or 1 where the step does not fit. Without libtpu TPUs
  are estimated."""
  devices = devices_of(topology, config.mesh.slices)  # before anything asks for some
  parts = build.build(config)
  codec = parts.recipe.role == learn_base.CODEC
  estimated = isinstance(devices, int)
  kind = rates.KINDS[topology.partition(':')[0]] if estimated else devices[0].device_kind
  chip = rates.CHIPS.get(kind)
  mesh = build.build_mesh(parts, devices)
  shape = ' x '.join(f'{axis} {size}' for axis, size in mesh.shape.items() if size > 1) or 'alone'
  print(f'{config.name} on {mesh.size} x {kind}: {shape}\n')
  if estimated:
    print("No compiler for TPUs is here (pip install 'adiff[tpu]'): what follows is the cost "
          "model's own estimate, without the memory that a layer needs while it is computed.\n")
  print(rules(parts, mesh))
  largest, sampled = parts.largest, parts.sampled
  step = training_step(largest, devices)
  what = 'training step' if len(parts.each_size) == 1 else 'training step of the largest pictures'
  tokens = parts.autoencoder.num_codes if codec else largest.spec.num_tokens
  print(_in_words(what, step, chip, config.train.batch_size, tokens))
  try:
    tokens = tokens if codec else sampled.spec.num_tokens
    used = coding(parts, devices) if codec else {'sampler': rollout(sampled, devices)}
    for what, program in used.items():
      print(_in_words(what, program, chip, sharding.rows(mesh), tokens))
  except jax.errors.JaxRuntimeError as error:
    print(f'the compiler fails on what uses it: {str(error).splitlines()[0]}\n')
  if chip is None or step.fits(chip):
    return 0
  how = 'estimated' if estimated else 'compiled'
  print(f'The training step does not fit. Cheapest changes that make it fit, each {how}:')
  fitting = 0
  for change in _changes(config, mesh.size):
    words = ' '.join(f'--config.{key}={value}' for key, value in change.items())
    try:
      step = training_step(build.build(_with(config, change), parts.coded).largest, devices)
    except ValueError as error:
      print(f'  (not possible: {words}: {error})')
      continue
    if step.fits(chip):
      print(f'  {words}: {step.total / rates.GIB:.2f} GiB')
      fitting += 1
    if fitting == 3:
      break
  if not fitting:
    print('  none was found; write a smaller train.batch_size or model, or more devices')
  return 1


def rules(parts, mesh) -> str:
  """The table of parameters: shape, the axes that split it, bytes a device."""
  params = cost.params(parts)
  placed = sharding.placed(params, build.state_shardings(parts, mesh, params))
  lines = ['| parameter | shape | split over | MiB a device |', '| --- | --- | --- | --- |']
  for path, leaf in jax.tree_util.tree_leaves_with_path(placed):
    axes = [*leaf.sharding.spec, *[None] * (leaf.ndim - len(leaf.sharding.spec))]
    split = ', '.join(axis or '-' for axis in axes) if any(axes) else 'whole'
    size = math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
    lines.append(
      f'| {sharding.path_name(path)} | {list(leaf.shape)} | {split} | {size / 2**20:.2f} |'
    )
  return '\n'.join(lines) + '\n'


def _in_words(what, program, chip, examples, tokens) -> str:
  """A program of so many examples, of `tokens` each, in words and tables."""
  fits = ''
  if chip:
    fits = 'fits' if program.fits(chip) else 'does NOT fit'
    fits = f', {fits} into {chip.memory / rates.GIB:.0f} GiB'
  lines = [f'{what}, {examples} examples: {program.total / rates.GIB:.2f} GiB a device{fits}', '']
  if program.refused:
    lines += [f'the compiler refuses it, so this is estimated: {program.refused}', '']
  lines += ['| part | MiB a device |', '| --- | --- |']
  lines += [f'| {name} | {size / 2**20:.1f} |' for name, size in program.memory.items()]
  if program.host:
    lines.append(f"| in the host's memory, besides | {program.host / 2**20:.1f} |")
  if program.moved:
    lines += ['', '| moved between devices | axes | MiB a device |', '| --- | --- | --- |']
    lines += [f'| {kind} | {axes} | {size / 2**20:.1f} |'
              for (kind, axes), size in sorted(program.moved.items())]
  if program.leaving:
    known = ', '.join(f'{size / 2**20:.1f} MiB {how}' for how, size in program.leaving.items())
    lines += ['', f'leave each slice over the slow network, once it has summed its own: {known}']
  if program.unread:
    lines += ['', f'moved between devices: not known, the program cannot be read: {program.unread}']
  if program.predicted:
    moved = collections.Counter()
    for (_, axes), size in program.moved.items():
      moved[axes] += size
    lines += ['', '| axes | MiB predicted from the rules | found |', '| --- | --- | --- |']
    both = {axes: (program.predicted.get(axes, 0), moved[axes])
            for axes in sorted({*moved, *program.predicted})}
    lines += [f'| {axes} | {ours / 2**20:.1f} | {theirs / 2**20:.1f} |'
              for axes, (ours, theirs) in both.items()]
  said = f'{program.said} ' if program.said else ''
  lines += ['', f'{said}{program.flops / 1e12:.3f} TFLOP a device']
  if chip:
    seconds = program.seconds(chip)
    longest = max(seconds, key=seconds.get)
    parts = ', '.join(f'{name} {1e3 * value:.1f} ms' for name, value in seconds.items())
    lines += [
      f'at least {1e3 * seconds[longest]:.1f} ms, bound by {longest} ({parts}, if all overlap); '
      f'utilisation at most {seconds["arithmetic"] / seconds[longest]:.0%}',
      f'at most {examples / seconds[longest]:.4g} examples and '
      f'{examples * tokens / seconds[longest]:.3g} tokens a second'
    ]
  return '\n'.join(lines) + '\n'
