"""A network that makes examples of noise in one call, against a critic that must not tell them from
data (Goodfellow et al. 2014, arXiv:1406.2661)."""

import dataclasses
import functools
import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adiff.learn import base, microbatches, reconstruction
from adiff.learn import critic as critic_lib
from adiff.learn import lessons as lessons_lib
from adiff.learn import state as state_lib
from adiff.nn import conv
from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions, values

UNTAUGHT = (  # keys of config.train
  'complementary', 'next_token', 'given', 'random_length', 'cond_dropouts',
)
_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


@dataclasses.dataclass(frozen=True, eq=False)
class Gan(base.Recipe):
  """The network is asked for x0 of pure noise, all tokens at once: what the walk of one step asks.
  Both networks move at every step, on the same examples; the average of the maker's parameters is
  served. By default relativistic, with a penalty on both sides (R3GAN, arXiv:2501.05441)."""

  denoises = False

  model: network_lib.Network
  tx: optax.GradientTransformation
  blocks: tuple[blocks_lib.Blocks, ...]
  process: process_base.Process
  coords: np.ndarray
  grid: tuple[int, ...]
  ema: float
  microbatches: int
  lessons: tuple[lessons_lib.Lesson, ...] = ()
  form: Annotated[str, values.one_of(*critic_lib.FORMS)] = 'relativistic'
  penalty: Annotated[str, values.one_of(*critic_lib.PENALTIES)] = 'both'  # on the critic
  penalty_weight: values.NotNegative = 0.1
  critic_widths: tuple[values.Count, ...] = (32, 64)  # see conv.Critic
  critic_blocks: values.Count = 1

  def needs(self, parts):
    base.check_microbatches(parts.config.train)
    (blocks, *others), plan = self.blocks, parts.plan
    raster = blocks.order == tuple(range(blocks.num_tokens))
    whole = blocks.num_blocks == 1 and raster and not others
    if self.process.discrete or not whole or max(plan.budgets) != 1:
      raise ValueError(
        'recipe gan makes floats of noise in one call; write process.name=gaussian, '
        'process.prediction=x0, blocks.name=whole and plan.steps=1'
      )
    if math.prod(self.grid) != blocks.num_tokens:
      raise ValueError(
        f'recipe gan has a critic that looks at a grid, and these {blocks.num_tokens} tokens are '
        'none; write codec.name=patches'
      )
    config = parts.config
    if parts.branches > 1 or config.cond_dropout:
      raise ValueError(
        'recipe gan hides no labels, and so learns nothing to guide from; write cond_dropout=0.0 '
        'and guidance.scale=1.0'
      )
    for key in UNTAUGHT:
      if config.train[key]:
        raise ValueError(
          f'config.train.{key}={values.shown(config.train[key])} is about noise and blocks, which '
          'recipe gan has none of; leave its default'
        )
    jax.eval_shape(self.critic.init, jax.random.key(0))  # widths that do not fit the grid

  @property
  def critic(self) -> conv.Critic:
    """The other network."""
    label = self.model.conds.get(conditions.LABEL)
    classes = 0 if label is None else label.num
    return conv.Critic(
      conv.stretched(self.grid), self.process.num_outputs, self.critic_widths,
      self.critic_blocks, classes,
    )

  @property
  def contest(self) -> critic_lib.Contest:
    """How that is trained."""
    return critic_lib.Contest(self.critic, self.form, self.penalty, self.penalty_weight)

  @_traced_once
  def init(self, key):
    key_params, key_x, key_critic = jax.random.split(key, 3)
    x = self.process.prior(key_x, self.blocks[0].shape(1))
    asked = ask_lib.Ask(x, jnp.ones(x.shape[:2]), self.blocks[0].token_slots(self.coords))
    params = {
      base.DENOISER: self.model.init(key_params, asked), base.CRITIC: self.critic.init(key_critic)
    }
    state = state_lib.create(params, {role: self.tx for role in params})
    return state.replace(
      ema={base.DENOISER: state.ema[base.DENOISER]}, extra={base.CRITIC: self.contest.memory()}
    )

  def network(self, params, role=base.DENOISER, *, key=None, loops=False):
    assert role == base.DENOISER, f'the {role} is not used alone'
    return self.model.denoise(params, key=key, loops=loops)

  def served(self, state):
    return state.ema[base.DENOISER]

  def batch(self, size):
    shape = (size, self.blocks[0].num_tokens, self.process.num_outputs)
    return {'tokens': jax.ShapeDtypeStruct(shape, jnp.float32), 'label': base.label(size)}

  @_traced_once
  def update(self, state, batch, key):
    grads, extra, scalars = microbatches.averaged(
      self.gradient, state.params, state.extra[base.CRITIC], batch, key, self.microbatches
    )
    norms = {role: optax.global_norm(one) for role, one in grads.items()}
    scalars['grad_norm'] = norms[base.DENOISER]
    scalars['grad_norm_critic'] = norms[base.CRITIC]
    scalars['finite'] = critic_lib.all_finite(scalars['loss'], *norms.values())
    for role, average in ((base.DENOISER, self.ema), (base.CRITIC, None)):
      state = reconstruction.moved(state, role, grads[role], self.tx, average=average)
    return state.replace(step=state.step + 1, extra={base.CRITIC: extra}), scalars

  def gradient(self, params, memory, rows, key) -> tuple[dict[str, Any], Any, dict]:
    """({role: gradient}, averages of the critic's logits, scalars) of one micro-batch."""
    key_noise, key_drop, key_rows = jax.random.split(key, 3)
    for number, lesson in enumerate(self.lessons):
      rows = lesson(jax.random.fold_in(key_rows, number), rows)
    x, cond = rows['tokens'], conditions.of(rows, self.model.conds)
    told = (rows[conditions.LABEL],)

    def make(maker):
      denoise = network_lib.condition(self.network(maker, key=key_drop), cond)
      return self.made(denoise, key_noise, len(x))

    y, back = jax.vjp(make, params[base.DENOISER])
    real = self.critic(params[base.CRITIC], x, *told)
    loss, push = jax.value_and_grad(self.contest.maker(params[base.CRITIC], real, told))(y)
    (maker,) = back(push)
    grads, memory, scalars = self.contest.judged(params[base.CRITIC], memory, x, y, told)
    return {base.DENOISER: maker, base.CRITIC: grads}, memory, {'loss': loss, **scalars}

  def made(self, denoise: ask_lib.Denoise, key, num) -> jax.Array:
    """x0 [num, N, D] of noise."""
    blocks = self.blocks[0]
    noise = self.process.prior(key, blocks.shape(num))
    level = jnp.ones((num, 1), noise.dtype)
    asked = ask_lib.Ask(noise, level, blocks.slots(self.coords))
    return self.process.x0_hat(denoise(asked).out, noise, blocks.per_token(level))
