"""Distribution matching: the law of what a student makes is moved to that of its teacher (DMD, Yin
et al. 2023, arXiv:2311.18828, equations 7 and 8; DMD2, arXiv:2405.14867, two time scales and no
regression).

What the student made, x, is noised to xt and shown to two denoisers: the teacher, of the law that
is wanted, and a critic, a copy of the teacher that learns the law of what is made. Their difference
is the gradient of the Kullback-Leibler divergence between the two:

  pull = (critic(xt, t) - teacher(xt, t)) / mean |x - teacher(xt, t)|     the mean over an example
  loss = 1/2 |x - constant(x - pull)|^2

In blocks both read the student's own past, so that the divergences of the blocks add up to that of
the whole by the chain rule; one level a block. Every update moves the critic, on states of its own,
and every `every`-th the student. Only the law is taught: no curve of a loss says how good it is.
"""

import dataclasses
import functools
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adiff.learn import base, rollout, setting, student
from adiff.sample.solvers import base as solvers_base
from adiff.sequence import plan as plan_lib
from adiff.sequence import turns, values

_traced_once = functools.partial(jax.jit, static_argnums=0)  # as in plain.py


def normaliser(x, real) -> jax.Array:
  """mean |x - real| of an example: [B, N, D] -> [B, 1, 1] (DMD, equation 8)."""
  return jnp.mean(jnp.abs(x - real), axis=(1, 2), keepdims=True)


def pull(x, real, fake) -> jax.Array:
  """By how much less of x [B, N, D] there should be; real, fake: what teacher and critic say of it.
  No gradient flows through it."""
  least = jnp.finfo(x.dtype).tiny
  return jax.lax.stop_gradient((fake - real) / jnp.maximum(normaliser(x, real), least))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Matching(student.Taught):
  """plan, solver: of the walk that is taught, those of sampling.

  states: 'self', what the student makes by itself (rollout.py), left at any of the plan's steps;
  'data', its answers to data noised to the levels of the plan, which read a past of data.
  through_cache: see rollout.Rollout.made.
  """

  plan: plan_lib.Plan
  solver: solvers_base.Solver
  states: Annotated[str, values.one_of('self', 'data')] = 'self'
  every: values.Count = 5
  critic_rate: values.Positive = 1.0
  levels: tuple[values.Share, values.Share] = (0.02, 0.98)
  through_cache: bool = False

  asks = 1
  spaced = True

  def needs(self, parts):
    super().needs(parts)
    student.needs_teacher(self, parts)
    plain = self.plain
    if len(plain.blocks) > 1:
      raise ValueError('recipe matching teaches one walk; write train.block_sizes=()')
    if parts.config.train.given:
      raise ValueError('recipe matching makes whole examples by itself; write train.given=0.0')
    if self.states == 'self':
      rollout.check(self.plan, plain.blocks[0], plain.process, self.solver)
    elif self.through_cache:
      raise ValueError(
        "recipe.through_cache=True is of a rollout; write recipe.states='self', or False"
      )
    if not 0 < self.levels[0] < self.levels[1]:
      raise ValueError(
        f'recipe.levels={values.shown(self.levels)} must be (low, high) with 0 < low < high'
      )

  @property
  def read_only(self):
    return {base.TEACHER: self.teacher, base.CRITIC: self.teacher}

  def asked_until(self, step):
    return step // self.every

  def often(self, batch):
    steps = self.plan.budgets  # of each block, left at a step that is even among the most
    exits = np.minimum(np.arange(max(steps))[:, None], np.subtract(steps, 1))
    return {**super().often(batch), 'before_exit': float(np.mean(exits))}

  @functools.cached_property
  def critic_tx(self) -> optax.GradientTransformation:
    return optax.chain(self.plain.tx, optax.scale(self.critic_rate))

  @_traced_once
  def init(self, key):
    state = super().init(key)
    critic = jax.tree.map(jnp.zeros_like, state.params[base.TEACHER])
    return state.replace(
      params={**state.params, base.CRITIC: critic},
      opt={**state.opt, base.CRITIC: self.critic_tx.init(critic)},
    )

  def network(self, params, role=base.DENOISER, *, key=None, loops=False):
    role = base.TEACHER if role == base.CRITIC else role  # one network
    return super().network(params, role, key=key, loops=loops)

  @_traced_once
  def update(self, state, batch, key):
    key_critic, key_student = jax.random.split(key)
    critic = state.params[base.CRITIC]
    grads, scalars = self.plain.gradient(
      critic, batch, key_critic, functools.partial(self.critic_share, state)
    )
    norm = optax.global_norm(grads)
    updates, opt = self.critic_tx.update(grads, state.opt[base.CRITIC], critic)
    moved = state.replace(
      params={**state.params, base.CRITIC: optax.apply_updates(critic, updates)},
      opt={**state.opt, base.CRITIC: opt},
    )

    def match(moved):
      share = functools.partial(self.share, state)
      grads, told = self.plain.gradient(state.params[base.DENOISER], batch, key_student, share)
      moved, told = self.plain.moved(_at(moved), grads, told)
      return moved, told['loss'], told['finite']

    def wait(moved):
      return moved.replace(step=moved.step + 1), jnp.zeros(()), jnp.bool_(True)

    moves = (state.step + 1) % self.every == 0
    with turns.branch('match', 1 / self.every):
      state, pulled, finite = jax.lax.cond(moves, match, wait, moved)
    calls = len(batch['tokens']) * self.taught.branches
    return state, {
      **scalars, 'matching': pulled, 'grad_norm': norm,
      'finite': finite & jnp.isfinite(scalars['loss']) & jnp.isfinite(norm),
      'teacher_calls': self.asked_until(state.step).astype(jnp.float32) * calls,
    }

  def share(self, state, params, rows, key, index=0, whole=None):
    """(loss of the student [], {name: Mean}) of a micro-batch."""
    keys = jax.random.split(key, 4)
    cond = self.plain.cond(rows, keys[0])
    x0, asked = self._made(params, rows, cond, keys[1])
    t = self._levels(keys[2], asked.shape)
    xt = asked.noised(keys[3], t)
    teacher = self.taught.denoise(state.params[base.TEACHER], cond)
    real, fake = (self._said(asked, one, xt, t) for one in (teacher, self._critic(state, cond)))
    aim = asked.x0 - pull(asked.x0, real, fake)
    error = 0.5 * jnp.mean((x0 - jax.lax.stop_gradient(aim)) ** 2, axis=-1)
    return asked.mean(error, t, whole)

  def critic_share(self, state, critic, rows, key, index=0, whole=None):
    """Likewise of the critic: the loss of a denoiser of what is made."""
    keys = jax.random.split(key, 4)
    cond = self.plain.cond(rows, keys[0])
    _, asked = self._made(state.params[base.DENOISER], rows, cond, keys[1])
    t = self._levels(keys[2], asked.shape)
    xt = asked.noised(keys[3], t)
    state = state.replace(params={**state.params, base.CRITIC: critic})
    out = asked.out(self._critic(state, cond), xt, t)
    error = self.taught.process.loss(out, asked.x0, xt, asked.blocks.per_token(t))
    return asked.mean(error, t, whole)

  def _made(self, params, rows, cond, key) -> tuple[jax.Array, setting.Setting]:
    """(x0 [B, N, D] of the student, the Setting that is made of it, without a gradient)."""
    plain, bind = self.plain, functools.partial(self.plain.under, cond=cond)
    key_exit, key_made, key_past = jax.random.split(key, 3)
    steps = max(self.plan.budgets)
    if self.states == 'self':
      of = rollout.Rollout(
        plain.model, bind, self.plan, plain.blocks[0], plain.process, self.solver, plain.coords
      )
      keys = jax.random.split(key_made, len(rows['tokens']))
      exit = jax.random.randint(key_exit, (), 0, steps)
      if self.through_cache:
        x0 = of.made(params, keys, exit, through=True).x0
      else:
        x0 = of.tokens(params, keys, exit)
      made = {**rows, 'tokens': jax.lax.stop_gradient(x0)}
      return x0, setting.Setting.of(plain, made, key_past)
    asked = setting.Setting.of(plain, rows, key_past)
    t = self.grid(steps)[jax.random.randint(key_exit, asked.shape, 1, steps + 1)]
    ahead = self.solver.ahead(asked.x0, t, jnp.zeros_like(t))
    x0 = asked.x0_hat(bind(params), asked.noised(key_made, t), t, ahead)
    return x0, asked._replace(x0=jax.lax.stop_gradient(x0))

  def _critic(self, state, cond):
    return dataclasses.replace(self.taught, branches=1).denoise(state.params[base.CRITIC], cond)

  def _said(self, asked, denoise, xt, t) -> jax.Array:
    """x0 [B, N, D] by a network whose process is the teacher's."""
    level = asked.blocks.per_token(t)
    return self.taught.process.x0_hat(asked.out(denoise, xt, t), xt, level)

  def _levels(self, key, shape) -> jax.Array:
    """[B, K], at which teacher and critic are asked."""
    return jnp.clip(self.plain.draw[0](key, shape), *self.levels)


def _at(state):
  """The state whose student has the learning rate of the run's step, however few its own are."""
  is_schedule = lambda one: isinstance(one, optax.ScaleByScheduleState)
  opt = jax.tree.map(
    lambda one: one._replace(count=state.step) if is_schedule(one) else one,
    state.opt[base.DENOISER], is_leaf=is_schedule,
  )
  return state.replace(opt={**state.opt, base.DENOISER: opt})
