"""What recipes share that train a network on what networks say: its own average, or a teacher.

They hold a Plain: its batches, micro-batches, lessons, conditions and average stay as they are, and
a recipe says what the error of a token is. All are read in the same way: out = network(xt, t, s)
estimates the x0 for which the process's deterministic step goes from xt to where the flow is at s,

  map(xt, t, s) = move(xt, x0_hat(out), t, s)

so that s = t is the denoiser, s = 0 the end of the path, and an error is the process's own loss
with another target in the place of x0. In flow's schedule x0_hat = xt - t u, u the mean velocity.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.learn import base, guided
from adiff.learn import loss as loss_lib
from adiff.learn import plain as plain_lib
from adiff.learn import setting as setting_lib
from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sample import guidance
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions, values

LEAST = 1e-3  # level at which the flow's velocity is still well known
_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
  """A trained denoiser that is asked and never moved, with the guidance that it is sampled with."""

  where: str  # its workdir
  model: network_lib.Network
  blocks: tuple[blocks_lib.Blocks, ...]  # that it learnt
  process: process_base.Process
  history_cond: bool
  scale: Any  # as guidance.guide takes it, and the next two
  interval: tuple[float, float]
  hides: dict[str, int] | None
  branches: int  # calls of the network that an answer takes; 1: nothing is guided
  narrow: solvers_base.Narrow = solvers_base.uncut  # the cut of the law that it is sampled with

  def denoise(self, params, cond) -> ask_lib.Denoise:
    """It, guided, under conditions {name: value of examples}; those may say how it is guided."""
    denoise, scale, interval = self.model.denoise(params), self.scale, self.interval
    if conditions.GUIDANCE in cond:
      scale, *interval = jnp.split(cond[conditions.GUIDANCE], 3, axis=1)
      cond = {name: value for name, value in cond.items() if name != conditions.GUIDANCE}
    if self.branches > 1:
      denoise = guidance.guide(denoise, scale=scale, interval=tuple(interval), hides=self.hides)
    return network_lib.condition(denoise, cond, history_cond=self.history_cond)


class Networks(NamedTuple):
  """Who is asked in a step, conditions bound alike."""

  student: ask_lib.Denoise  # with dropout; the gradient goes through it
  same: ask_lib.Denoise  # the same parameters, without a gradient; its dropout is the student's
  average: ask_lib.Denoise  # the served average, without a gradient
  teacher: ask_lib.Denoise | None
  cond: dict[str, Any]  # theirs
  unasked: ask_lib.Denoise  # `same`, of whose conditions the guidance alone is told
  of: Callable[[Any], ask_lib.Denoise]  # the student's network with other parameters


@dataclasses.dataclass(frozen=True, eq=False)
class Taught(base.Recipe):
  """plain: what is trained, and how. read: workdir -> Teacher. spacing: u in [0, 1] -> level, of
  the sampling plan. teacher: a workdir, or the name of a model that ships with adiff; '': there is
  none. The student starts from it where it is of the same size."""

  plain: plain_lib.Plain
  read: Callable[[str], Teacher]
  spacing: Callable
  teacher: values.Path = ''

  asks = 0  # calls of the teacher about an example, in a step
  flows = True  # is it about the flow of gaussian noise?

  @property
  def microbatches(self):
    return self.plain.microbatches

  def asked_until(self, step) -> jax.Array:
    """How many of the first `step` updates ask the teacher."""
    return step

  def grid(self, num) -> jax.Array:
    """[num + 1] levels from 0 to 1, of a block that is made in `num` steps."""
    return jnp.asarray(np.asarray(self.spacing(np.linspace(0, 1, num + 1)))[::-1], float)

  @functools.cached_property
  def taught(self) -> Teacher:
    """The teacher; read when it is first asked for, so that sampling needs none. Raises ValueError
    for one that does not fit."""
    found = self.read(self.teacher)
    self.check_taught(found)
    return found

  def check_taught(self, found: Teacher) -> None:
    """Raises ValueError for a teacher whose blocks do not suit the recipe."""
    if not all(blocks in found.blocks for blocks in self.plain.blocks):
      raise ValueError(
        f'config.recipe.teacher={self.teacher} learnt other blocks than those of this config, or '
        'to read its past at another level; write its config.blocks and config.history'
      )

  def needs(self, parts):
    self.plain.needs(parts)
    name, config = parts.config.recipe.name, parts.config
    if self.flows and not self.plain.process.has_ode:
      raise ValueError(
        f'recipe {name} follows the flow of process gaussian, and {config.process.name} has none; '
        'write recipe.name=plain'
      )
    if self.plain.hints is not None:
      raise ValueError(f"recipe {name} shows no hints of a codec; write model.hinted='none'")
    if self.plain.model.num_hints:
      raise ValueError(
        f'recipe {name} shows no estimates; write model.self_condition=False'
      )
    told = self.plain.model.hears_guidance
    if self.teacher and not told and (config.guidance.scale != 1 or config.guidance.scales):
      raise ValueError(
        f'recipe {name} learns its teacher with the guidance that it is sampled with; write '
        'guidance.scale=1.0, guidance.first=1.0 and guidance.scales=() for the student, or '
        "model.guided='scale'"
      )

  @property
  def read_only(self):
    return {base.TEACHER: self.teacher} if self.teacher else {}

  def born(self, key):
    return self.plain.born(key)

  @_traced_once
  def init(self, key):
    state = self.plain.init(key)
    if not self.teacher:
      return state
    abstract = jax.eval_shape(lambda: self.plain.fresh(key, self.taught.model))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), abstract)
    return state.replace(params={**state.params, base.TEACHER: zeros})

  def network(self, params, role=base.DENOISER, *, key=None, loops=False):
    if role == base.TEACHER:
      return self.taught.model.denoise(params, key=key, loops=loops)
    return self.plain.network(params, role, key=key, loops=loops)

  def served(self, state):
    return self.plain.served(state)

  def batch(self, size):
    return self.plain.batch(size)

  def often(self, batch):
    return self.plain.often(batch)


@dataclasses.dataclass(frozen=True, eq=False)
class Student(Taught):
  """A network that learns from one error of each token. scales: the range of the guidance that it
  is told, where it is (model.guided)."""

  scales: tuple[guided.Scale, guided.Scale] = (1.0, 4.0)

  @property
  def guides(self):
    return bool(self.teacher)

  def needs(self, parts):
    super().needs(parts)
    if self.plain.model.hears_guidance:
      guided.needs(self, parts)

  @_traced_once
  def update(self, state, batch, key):
    share = functools.partial(self.share, state)
    grads, scalars = self.plain.gradient(state.params[base.DENOISER], batch, key, share)
    if self.asks:
      calls = len(batch['tokens']) * self.asks * self.taught.branches
      scalars['teacher_calls'] = self.asked_until(state.step + 1).astype(jnp.float32) * calls
    return self.plain.moved(state, grads, scalars)

  def share(
    self, state, params, rows, key, index=0, whole=None
  ) -> tuple[jax.Array, dict[str, loss_lib.Mean]]:
    """As Plain.share, with this recipe's error; state: what the step began with."""
    key_cond, key_drop, key_history, key_own = jax.random.split(key, 4)
    cond = self.cond(rows, key_cond)
    nothing = {
      name: value if name == conditions.GUIDANCE else conditions.null(value)
      for name, value in cond.items()
    }
    fixed = jax.lax.stop_gradient(params)
    networks = Networks(
      self._alike(params, cond, key_drop), self._alike(fixed, cond, key_drop),
      self.plain.under(self.served(state), cond),
      self.taught.denoise(state.params[base.TEACHER], cond) if self.teacher else None,
      cond, self._alike(fixed, nothing, key_drop), functools.partial(self.plain.under, cond=cond),
    )
    setting = self.setting(rows, key_history, index)
    error, levels = self.error(networks, state, setting, self.plain.draw[index], key_own)
    return setting.mean(error, levels, whole)

  def cond(self, rows, key) -> dict[str, jax.Array]:
    """The conditions of rows, hidden at their rates, and the guidance of a network that is told
    it."""
    cond = self.plain.cond(rows, key)
    if not self.plain.model.hears_guidance:
      return cond
    interval = self.taught.interval if self.teacher else (0.0, 1.0)
    guidance = guided.sampled(
      jax.random.fold_in(key, 1), len(rows['tokens']), self.scales, interval,
      of=self.plain.model.guided,
    )
    return {**cond, conditions.GUIDANCE: guidance}

  def setting(self, rows, key, index) -> setting_lib.Setting:
    """What `error` is about; arguments as of Setting.of."""
    return setting_lib.Setting.of(self.plain, rows, key, index)

  def _alike(self, params, cond, key) -> ask_lib.Denoise:
    """The network with the same dropout whenever it is asked."""
    def trunk(ask):
      return self.plain.under(params, cond, jax.random.clone(key)).trunk(ask)

    return self.plain.under(params, cond)._replace(trunk=trunk)

  @abc.abstractmethod
  def error(
    self, networks: Networks, state, setting: setting_lib.Setting, draw, key
  ) -> tuple[jax.Array, jax.Array]:
    """(error [B, N], levels [B, K] of the curve) of a micro-batch. state: that the step began with;
    draw: of the blocks."""


def place(level, steps) -> jax.Array:
  """int32: in which of so many steps, from 1, a level [B, K] lies where all are of one size; steps:
  [] or [B, K]."""
  index = jnp.ceil(level * jnp.asarray(steps).astype(level.dtype)).astype(jnp.int32)
  return jnp.clip(index, 1, steps)


def needs_map(recipe: Student, parts: Any) -> None:
  """Refuses a network that is told t alone."""
  if not recipe.plain.model.maps:
    name = parts.config.recipe.name
    raise ValueError(
      f"recipe {name} asks for steps of any size; write model.told='difference' or 'pair'"
    )


def needs_tangents(recipe: Student, parts: Any) -> None:
  """Refuses an attention that has no forward derivative, where one is taken."""
  if not recipe.width and parts.config.model.get('attention', 'xla') != 'xla':
    name = parts.config.recipe.name
    raise ValueError(
      f'recipe {name} differentiates forward, which the fused kernel cannot; write '
      'model.attention=xla, or a recipe.width'
    )


def needs_teacher(recipe: Taught, parts: Any) -> None:
  """Refuses a recipe without one."""
  if not recipe.teacher:
    name = parts.config.recipe.name
    raise ValueError(
      f'recipe {name} learns from a teacher; write recipe.teacher=WORKDIR, that of a finished run'
    )
