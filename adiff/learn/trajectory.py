"""Distillation of a trajectory: each state of the teacher's path is made of all states before it
(ARD, Kim et al. 2025, arXiv:2504.11295).

A path of the teacher has `states` steps; what is before each of them is a state, x_1 (noise) first,

  x_1 --> x_2 --> ..  x_states --> x0        levels 1 > t_2 > .. > 0, those of the sampling plan

and all states stand in one stream as blocks of their own: the input of a block is a state, its
target the next one. Which earlier states a block reads is model.reach, by group of layers: all of
them (None) in the first layers, none (0) in those above, which then cost what they cost alone. All
states share one head, which is told the state by its level. The loss is the mean squared error of
where the student's step ends,

  loss = mean over states |move(x_i, x0_hat(out_i), t_i, t_i+1) - x_i+1|^2

States are the teacher's in training and the student's own in sampling (solver trajectory, which
keeps each step's keys for the layers that read them). A path starts at noise: of data only the
conditions are used.
"""

import dataclasses

import jax
import jax.numpy as jnp

from adiff.learn import student
from adiff.sample.solvers import multistep
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import states, values


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory(student.Student):
  """states: steps of the student, those of config.plan. inner: steps of the teacher for each, of
  solver multistep, with the config's spacing over all of them."""

  states: values.Count = 4
  inner: values.Count = 4

  denoises = False
  keeps = True
  spaced = True

  @property
  def asks(self):
    return self.states * self.inner

  def needs(self, parts):
    super().needs(parts)
    student.needs_teacher(self, parts)
    config, plan, (blocks, *others) = parts.config, parts.plan, self.plain.blocks
    if blocks.num_blocks > 1 or others:
      raise ValueError(
        'recipe trajectory follows the path of one block; write blocks.name=whole and '
        'train.block_sizes=()'
      )
    if self.plain.lessons:
      raise ValueError(
        'recipe trajectory learns from the path of its teacher and not from data; write '
        'train.given=0.0, train.random_length=0.0, train.flip=False and train.crop=0'
      )
    if not parts.solver.keeps:
      raise ValueError(
        'recipe trajectory makes each state of all before it; write solver.name=trajectory'
      )
    if plan.budgets != (self.states,) or set(config.eval.steps) - {self.states}:
      raise ValueError(
        f'recipe.states={self.states} are the only steps that are learnt; write '
        f'plan.steps={self.states} and eval.steps=()'
      )

  def setting(self, rows, key, index):
    """All states, in a stream of `states` times N tokens, whose weights are those of N tokens."""
    one = super().setting(rows, key, index)
    num = self.states * one.blocks.num_tokens
    blocks = blocks_lib.Blocks((one.blocks.num_tokens,) * self.states, tuple(range(num)), None)
    slots = one.blocks.token_slots(self.plain.coords)
    return one._replace(
      x0=jnp.tile(one.x0, (1, self.states, 1)), blocks=blocks,
      slots=states.stream(slots, self.states),
      weight=jnp.tile(one.weight, (1, self.states)) / self.states,
    )

  def error(self, networks, state, setting, draw, key):
    path = self.path(networks.teacher, setting, key)
    x, end = (jnp.concatenate(list(own), axis=1) for own in (path[:-1], path[1:]))
    levels = self.grid(self.states)[::-1]
    t, s = (jnp.broadcast_to(own[None], setting.shape) for own in (levels[:-1], levels[1:]))
    made = setting.moved(setting.x0_hat(networks.student, x, t), x, t, s)
    return jnp.mean((made - end) ** 2, axis=-1), t

  def path(self, teacher, setting, key) -> jax.Array:
    """Teacher's states [states + 1, B, N, D], from noise to data."""
    blocks, process, solver = self.plain.blocks[0], self.taught.process, multistep.Multistep()
    num = blocks.num_tokens
    one = setting._replace(
      x0=setting.x0[:, :num], blocks=blocks, slots=blocks.token_slots(self.plain.coords),
    )
    levels = self.grid(self.states * self.inner)[::-1]

    def move(carry, now):
      x, memory = carry
      t, s = (jnp.full(one.shape, level) for level in now)
      out = one.out(teacher, x, t)
      t, s = (blocks.per_token(level) for level in (t, s))
      carry = solver.step(None, out, process, None, x, t, s, memory)
      return carry, carry[0]

    x = process.prior(key, one.x0.shape[:2])
    _, ends = jax.lax.scan(move, (x, solver.init(x)), (levels[:-1], levels[1:]))
    return jnp.concatenate([x[None], ends[self.inner - 1::self.inner]])
