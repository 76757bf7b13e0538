"""Config -> parts. The only reader of the config's choices; it validates once, in words."""

import dataclasses
import functools
import hashlib
from typing import Any

import jax
import numpy as np

from adiff.data import base as data_base
from adiff.data import sized
from adiff.learn import base as learn_base
from adiff.learn import optim
from adiff.machine import cost, sharding
from adiff.nn import hinting
from adiff.nn import joint as joint_head
from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.run import choose, kinds, sequences, settings, taught, teachers, tokenizer
from adiff.run import parts as parts_lib
from adiff.sample import guidance, parallel, self_condition, speculative, truncation
from adiff.sample import joint as joint_solver
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw as draw_lib
from adiff.sequence import head as head_lib
from adiff.sequence import plan as plan_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts(parts_lib.Parts):
  """What the config of a denoiser stands for."""

  model: network_lib.Network
  process: process_base.Process
  # blocks and their draw, of every block size that the network learns
  geometries: tuple[tuple[blocks_lib.Blocks, draw_lib.Draw], ...]
  plan: plan_lib.Plan
  solver: solvers_base.Solver
  resized_from: 'Parts | None' = None  # where pictures have another size, those of the data's

  @property
  def arranged(self):
    return self.blocks

  def of(self, kind) -> 'Parts':
    """The same, for what is asked of one kind of tokens alone."""
    return dataclasses.replace(self, process=self.process.of(kind))

  @property
  def original(self):
    return self if self.resized_from is None else self.resized_from

  def at(self, size):
    own = self.original
    if not size or tuple(size) == sized.sides(own.source.facts):
      return own
    other = build(self.config, sized.at(own.coded, size))
    ours, theirs = (jax.tree.map(np.shape, cost.params(one)) for one in (own, other))
    if ours != theirs:
      raise ValueError(
        f'model {self.config.model.name} has other parameters for pictures of another size; a '
        'network of model.name=denoiser has not'
      )
    return dataclasses.replace(other, resized_from=own)

  @functools.cached_property
  def each_size(self):
    config, found = self.config, [self.original]
    if config.train.sizes and not self.recipe.several_sizes:
      raise ValueError(
        f'recipe {config.recipe.name} learns pictures of one size; write train.sizes=(), or '
        'recipe.name=plain'
      )
    for size in config.train.sizes:
      try:
        found.append(self.at(size))
      except ValueError as error:
        raise ValueError(f'config.train.sizes has {size}: {error}') from error
    return tuple(found)

  @property
  def blocks(self) -> blocks_lib.Blocks:
    """Those of the config, which are sampled and judged."""
    return self.geometries[0][0]

  @property
  def draw(self) -> draw_lib.Draw:
    """The draw of these blocks."""
    return self.geometries[0][1]

  @property
  def history_cond(self) -> bool:
    """Do history slots carry the condition?"""
    return history_cond(self.config, self.blocks, self.model)

  @functools.cached_property
  def hints(self) -> network_lib.Hints | None:
    """What the network is shown of tokens besides; None: nothing."""
    if self.model.hinted == hinting.NONE or not self.spec.hints:
      return None
    return sequences.hints(self.coded, self.blocks)

  def told(self, denoise: ask_lib.Denoise, x0) -> ask_lib.Denoise:
    """`denoise` that is shown what the codec tells of tokens x0 [B, N, ..] in block order, all of
    which are known."""
    return network_lib.hinted(denoise, self.hints, x0)

  @property
  def narrow(self) -> solvers_base.Narrow:
    """The cut of the law that symbols are sampled from."""
    return truncation.narrow(**dict(self.config.truncation))

  @property
  def parallel(self) -> parallel.Parallel:
    """How samples are made in parallel, if they are."""
    return parallel.Parallel(**dict(self.config.parallel))

  @property
  def speculative(self) -> speculative.Speculative:
    """Who drafts samples, if anybody does."""
    return speculative.Speculative(**dict(self.config.speculative))

  @property
  def in_turn(self) -> bool:
    """Are samples made by the plan's own walk, whose cost is known beforehand?"""
    drafted = self.speculative.draft != '' or self.speculative.steps > 0
    return self.parallel.method == parallel.NONE and not drafted

  @property
  def reveals(self) -> tuple[tuple[int, ...] | None, ...] | None:
    """What `likelihood.bound` asks: what was trained on pure noise alone is judged there."""
    draw, blocks = self.draw, self.blocks
    found = tuple(
      (size,) if draw.pure_noise or kind in draw.pure_kinds else None
      for size, kind in zip(blocks.sizes, blocks.kind_of_block, strict=True)
    )
    return found if any(own not in (None, (1,)) for own in found) else None

  @property
  def guidance(self) -> np.ndarray | dict[str, float]:
    """[K] guidance scale of each block; or {name: scale} of each condition."""
    guide = self.config.guidance
    if guide.scales:
      return dict(guide.scales)
    num = self.blocks.num_blocks
    first = guide.first if guide.scale != 1 and num > 1 else guide.scale
    return np.linspace(first, guide.scale, num, dtype=np.float32)

  @property
  def hides(self) -> dict[str, int]:
    """{kind: its mask} of the kinds that training hides in history, as guidance does."""
    return {
      kind: self.process.of(kind).mask_id for kind, own in self.config.kinds.items()
      if own.get('dropout', 0)
    }

  @property
  def branches(self) -> int:
    """Calls of the network that guidance makes at a time, stacked; 1 where nothing is guided, or
    the network is told how."""
    guide = self.config.guidance
    if self.model.hears_guidance:
      return 1
    return 1 + len(guide.scales) if guide.scales else 1 + (guide.scale != 1)

  def check_mesh(self, mesh):
    train = self.config.train
    for blocks, _ in self.geometries:
      sharding.check_fits(
        mesh, heads=self.model.heads, batch_size=train.batch_size,
        parts=len(self.geometries) * train.microbatches, num_slots=blocks.num_slots,
      )

  @functools.cached_property
  def contract(self):
    order = hashlib.sha256(np.asarray(self.blocks.order, np.int32).tobytes()).hexdigest()[:16]
    return {
      **super().contract,
      'levels': '0 clean, 1 noise',
      'process': _told(self.config.process.name, self.process) | (
        {'kinds': {
          kind: _told(self.config.kinds[kind].process.name, self.process.of(kind))
          for kind in self.spec.by_kind
        }} if self.spec.by_kind else {}
      ),
      'blocks': {'order': order, 'num_tokens': self.blocks.num_tokens},
      'shifted': self.model.shifted,
      'history_cond': self.history_cond,
      **({} if self.hints is None else {'hinted': self.model.hinted}),
    }


def _told(name, process) -> dict:
  """What a process means, but for what sampling may change."""
  fields = dataclasses.asdict(process)
  free = ('eta', 'clip', 'temperature')
  return {'name': name, **{key: fields[key] for key in fields if key not in free}}


def build(config, coded=None, *, codec=None) -> Parts:
  """All parts of a config; raises ValueError for what cannot work, with what to write instead.

  coded: the data set of an earlier build of the same config.data and config.codec, or what is kept
  of it. codec: that of config.codec with what it learnt from the same data.
  """
  settings.check(config, without=() if coded is None else ('data',))
  coded = sequences.coded(config, codec) if coded is None else coded
  spec = coded.spec
  data_base.check_split(config.eval.split, coded.splits)
  if choose.find('recipe', config.recipe.name).role == learn_base.CODEC:
    return tokenizer.build(config, coded)
  for choice in ('coder', 'quantiser'):
    if config[choice].name:
      raise ValueError(
        f'config.{choice}.name={config[choice].name} is of a codec that is trained, and recipe '
        f"{config.recipe.name} trains none: write config.{choice}.name='', or "
        'config.recipe.name=autoencoder'
      )
  if spec.by_kind:
    kinds.check_single(config)
  process = sequences.process(config, spec)
  geometries = sequences.geometries(config, spec, process)
  plan = sequences.plan(config, geometries[0][0])
  solver = _each(config, spec, 'solver', joint_solver.Joint)
  model = choose.resolve(
    'model', config.model,
    num_inputs=process.num_inputs, num_outputs=process.num_outputs, conds=spec.conds,
    hints={**spec.hints, **solver.hints}, grid=tuple(spec.grid),
    head=_head(config, spec, process),
  )
  if model.num_hints:
    solver = self_condition.SelfCondition(solver, model.num_hints)
  common = {
    'process': process, 'coords': spec.coords, 'grid': tuple(spec.grid), 'geometries': geometries,
    'plan': plan, 'solver': solver,
    'lessons': taught.lessons_of(config, coded, geometries[0][0]),
    'hints': sequences.hints(coded, geometries[0][0])
    if model.hinted != hinting.NONE and spec.hints else None,
    'read': functools.partial(teachers.read, config=config, coded=coded, build=build),
  }
  microbatches = config.train.microbatches
  recipe = counted = build_recipe(config, model, microbatches, **common)
  if model.remat != 'none' or microbatches != 1:
    counted = build_recipe(config, model.recomputing('none'), 1, **common)
  parts = Parts(
    config=config, coded=coded, process=process, geometries=geometries, plan=plan, solver=solver,
    model=model, recipe=recipe, counted=counted,
  )
  check(parts)
  return parts


def check(parts) -> None:
  """Raises ValueError where parts do not suit each other: each says itself what it needs."""
  for part in (
    parts.draw, parts.plan, parts.solver, parts.recipe, truncation, guidance, parts.parallel,
    parts.speculative, parts.model.head, parts.model,
  ):
    part.needs(parts)


def _each(config, spec, choice, joint) -> Any:
  """What a choice stands for; of several kinds of tokens joint({kind: what its choice stands
  for})."""
  if not spec.by_kind:
    return choose.resolve(choice, config[choice])
  return joint({
    kind: choose.resolve(choice, kinds.own(config, kind, choice)) for kind in spec.by_kind
  })


def _head(config, spec, process) -> head_lib.Head:
  """The head, or one a kind; that of ordered symbols is told how many there are, one that is a law
  is handed the noise of its small steps, and the solver that makes them."""

  def of_kind(kind=None):
    choice = kinds.own(config, kind, 'head')
    own = process if kind is None else process.of(kind)
    given = {'vocab': own.num_outputs} if own.discrete else {}
    if own.by_law and choose.takes('head', choice.name, 'stepper'):
      given = {'process': own.small, 'stepper': choose.resolve('solver', {'name': choice.solver})}
    return choose.resolve('head', choice, **given)

  if not spec.by_kind:
    return of_kind()
  return joint_head.Joint({kind: of_kind(kind) for kind in spec.by_kind})


def history_cond(config, blocks, model) -> bool:
  """Do history slots carry the condition? They must where they are working slots, too."""
  one_stream = blocks.history is None or model.shifted
  return config.history_cond or one_stream or model.hinted == hinting.ALONE


def build_recipe(
  config, model, microbatches, *, process, coords, grid, geometries, plan, solver, lessons, hints,
  read
) -> learn_base.Recipe:
  """How the parameters of the model move; read: workdir -> student.Teacher."""
  tx, _ = optim.make(**dict(config.optim), total_steps=config.train.steps)
  own = dict(
    model=model, tx=tx, process=process, coords=coords, grid=grid,
    blocks=tuple(blocks for blocks, _ in geometries), draw=tuple(draw for _, draw in geometries),
    ema=config.train.ema, cond_dropout=config.cond_dropout,
    cond_dropouts=tuple(config.train.cond_dropouts), microbatches=microbatches,
    history_cond=history_cond(config, geometries[0][0], model),
    lessons=lessons, hints=hints,
    complementary=config.train.complementary, next_token=config.train.next_token,
    weights={kind: own.weight for kind, own in config.kinds.items() if 'weight' in own},
    hides={kind: own.dropout for kind, own in config.kinds.items() if own.get('dropout', 0)},
  )
  return choose.resolve(
    'recipe', config.recipe, plain=choose.resolve('recipe', {'name': 'plain'}, **own), read=read,
    spacing=choose.resolve('spacing', config.spacing), plan=plan, solver=solver, **own,
  )


def build_mesh(parts, devices=None) -> Any:
  """The mesh of the config over `devices`, see sharding.make_mesh, which training must fit."""
  config = parts.config
  mesh = sharding.make_mesh(**config.mesh, devices=devices)
  for one in parts.each_size:
    one.check_mesh(mesh)
  return mesh


def state_shardings(parts, mesh, abstract) -> Any:
  """Where the arrays of a state lie, as the network and the config say."""
  return sharding.state_shardings(
    mesh, abstract, tensor_axes=parts.model.tensor_axes(), offload=parts.config.train.offload
  )


def check_denoises(parts: Parts, lack) -> None:
  """Raises ValueError, which says what the network lacks, where examples are made in one call."""
  if not parts.recipe.denoises:
    raise ValueError(
      f'a network of recipe {parts.config.recipe.name} makes examples of noise alone, and {lack}; '
      'take a model that denoises'
    )
