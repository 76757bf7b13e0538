"""Distilled decoding on a Markov chain, where the map from noise to tokens is known."""

import dataclasses
from typing import Any

import flows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from adiff.data import chain
from adiff.learn import base, distilled_decoding, plain, student
from adiff.nn import network
from adiff.process import code_flow, masked
from adiff.sample import walk
from adiff.sample.solvers import code_flow as code_flow_solver
from adiff.sample.solvers import decoded
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import draw as draw_lib
from adiff.sequence import plan as plan_lib

NUM, VOCAB, DIM = 3, 3, 2
LAW = [jnp.asarray(np.log(part), jnp.float32) for part in chain.Chain(NUM, VOCAB).law]
PROCESS, COORDS = masked.Masked(VOCAB), np.arange(NUM)[:, None]
ONE_BY_ONE, AT_ONCE = blocks_lib.tokens(NUM), blocks_lib.whole(NUM)


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
  """As a nn.network.Network: the chain's law of a token given the one before, which the call brings
  along."""

  reads, num_hints, conds = ((None, 0),), 0, {}
  hears_guidance = maps = shifted = False

  def init(self, key, ask):
    return {'unused': jnp.zeros(())}

  def empty_cache(self, batch, places, axes):
    return ()

  def grow(self, cache, places):
    return cache

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      initial, transition = LAW
      first = jnp.broadcast_to(initial, (len(ask.x), 1, VOCAB))
      if ask.x.shape[1] == 1:
        return first
      before = jnp.minimum(ask.x[:, :-1], VOCAB - 1)
      return jnp.concatenate([first, transition[before]], axis=1)

    return ask_lib.from_outputs(out)


@dataclasses.dataclass(frozen=True, eq=False)
class Exact(Chain):
  """The map itself, of the noise that it is shown, but for what is known."""

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      noise, made = ask.hint[network.NOISE], []
      for i in range(NUM):
        law = LAW[1][made[-1]] if made else jnp.broadcast_to(LAW[0], (len(ask.x), VOCAB))
        found = code_flow.symbols(law, noise[:, i], code_flow.vectors(VOCAB, DIM), 16)
        made.append(jnp.where(ask.x[:, i] < VOCAB, ask.x[:, i], found))
      return 50 * jax.nn.one_hot(jnp.stack(made, axis=1), VOCAB)

    return ask_lib.from_outputs(out)


@dataclasses.dataclass(frozen=True, eq=False)
class Small(Chain):
  """Three layers on the noise and the known symbols of all tokens."""

  width: int = 96

  def init(self, key, ask):
    sizes = (NUM * (DIM + VOCAB + 1), self.width, self.width, NUM * VOCAB)
    keys = jax.random.split(key, 3)
    return [
      {'kernel': jax.random.normal(one, (a, b)) * (1.5 / a) ** 0.5, 'bias': jnp.zeros(b)}
      for one, a, b in zip(keys, sizes, sizes[1:])
    ]

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      told = jax.nn.one_hot(ask.x, VOCAB + 1)
      h = jnp.concatenate([ask.hint[network.NOISE], told], axis=-1).reshape(len(ask.x), -1)
      for i, own in enumerate(params):
        h = h @ own['kernel'] + own['bias'][None]
        h = jax.nn.gelu(h) if i < 2 else h
      return h.reshape(len(ask.x), NUM, VOCAB)

    return ask_lib.from_outputs(out)


def recipe(model, *, steps=2, tx=None, taught=ONE_BY_ONE) -> Any:
  """taught: the blocks of its teacher."""
  of = plain.Plain(
    model=model, tx=tx or optax.sgd(0.1), blocks=(AT_ONCE,), process=PROCESS,
    draw=(draw_lib.uniform(),), coords=COORDS, ema=0.99, cond_dropout=0.0, microbatches=1,
    history_cond=False,
  )
  taught = student.Teacher(
    'chain', Chain(), (taught,), PROCESS, history_cond=False, scale=1.0, interval=(0.0, 1.0),
    hides=None, branches=1,
  )
  return distilled_decoding.DistilledDecoding(
    plain=of, read=lambda _: taught, spacing=plan_lib.linear(), teacher='chain',
    steps=steps, solver=decoded.Decoded(DIM),
  )


def made(of, state, keys, steps):
  """Tokens of the student."""
  return walk.sample(
    of.network(state.params[base.DENOISER]), keys, plan_lib.Plan(1, steps), blocks=AT_ONCE,
    process=PROCESS, solver=of.solver, coords=COORDS,
  )


def rows(num):
  return {'tokens': jnp.zeros((num, NUM), jnp.int32), 'label': jnp.full(num, -1, jnp.int32)}


def strings(tokens):
  """Each as one number."""
  return np.asarray(tokens) @ VOCAB ** np.arange(NUM)


def test_the_exact_map_has_no_loss_and_is_sampled_as_the_teacher_samples_of_the_same_noise():
  of = recipe(Exact())
  state = of.init(jax.random.key(0))
  loss, _ = jax.jit(of.share)(state, state.params[base.DENOISER], rows(256), jax.random.key(1))
  assert float(loss) < 1e-6

  @jax.jit
  def walks(state, keys):
    keys = [jax.random.clone(keys) for _ in range(4)]
    plainly = walk.sample(
      of.network(state.params[base.TEACHER], base.TEACHER), keys[0], plan_lib.Plan(NUM, 1),
      blocks=ONE_BY_ONE, process=PROCESS, solver=code_flow_solver.CodeFlow(DIM), coords=COORDS,
    )
    by_student = [made(of, state, keys[steps], steps) for steps in (1, 2)]
    return plainly, by_student, of.mapped(state.params[base.TEACHER], keys[3], {})

  plainly, by_student, (one_by_one, noise) = walks(state, jax.random.split(jax.random.key(2), 2048))
  assert noise.shape == (2048, NUM, DIM)
  for other in (one_by_one, *by_student):
    np.testing.assert_array_equal(other, plainly)
  initial, transition = chain.Chain(NUM, VOCAB).law
  law = np.einsum('a,ab,bc->cba', initial, transition, transition).ravel()
  counts = np.bincount(strings(plainly), minlength=VOCAB**NUM)
  assert stats.chisquare(counts, law * 2048).pvalue > 1e-3


def test_the_last_tokens_of_each_block_are_masked_as_the_plan_leaves_them():
  of = recipe(Exact())
  hidden = of.hidden(jnp.array([[1.0], [0.5], [0.2]]))
  np.testing.assert_array_equal(hidden, [[1, 1, 1], [0, 1, 1], [0, 0, 1]])


def test_teacher_calls_are_one_a_token_and_it_never_moves():
  of = recipe(Small())
  state = of.init(jax.random.key(0))
  before = state.params[base.DENOISER][0]['kernel']
  state, scalars = of.update(state, rows(8), jax.random.key(1))
  assert float(scalars['teacher_calls']) == 8 * NUM and bool(scalars['finite'])
  assert float(state.params[base.TEACHER]['unused']) == 0
  assert np.any(state.params[base.DENOISER][0]['kernel'] != before)


@pytest.mark.parametrize('blocks', [
  AT_ONCE, dataclasses.replace(ONE_BY_ONE, history=0.1),
  dataclasses.replace(ONE_BY_ONE, order=(2, 1, 0)),
], ids=['at once', 'of a noised past', 'backwards'])
def test_a_teacher_that_makes_no_token_after_another_is_refused(blocks):
  with pytest.raises(ValueError, match='no autoregressive model of these tokens in this order'):
    recipe(Small(), taught=blocks).init(jax.random.key(0))


def test_lessons_change_none_of_its_walks_and_are_refused(monkeypatch):
  monkeypatch.setattr(student, 'needs_teacher', lambda *_: None)
  monkeypatch.setattr(student.Taught, 'needs', lambda *_: None)
  of = recipe(Small())
  of = dataclasses.replace(of, plain=dataclasses.replace(of.plain, lessons=('given',)))
  with pytest.raises(ValueError, match='no lesson changes'):
    of.needs(None)


@pytest.mark.soak
@pytest.mark.parametrize('steps', [1, 2])
def test_a_student_agrees_with_the_exact_map_on_nineteen_of_twenty_strings(steps):
  updates = 4000
  of = recipe(Small(), steps=steps, tx=optax.adam(optax.cosine_decay_schedule(5e-3, updates)))
  state, _ = flows.trained(of, updates, rows=lambda key, num: rows(num), num=512)
  keys = jax.random.split(jax.random.key(9), 4096)
  exact, _ = of.mapped(state.params[base.TEACHER], keys, {})
  found = made(of, state, keys, steps)
  assert np.mean(np.all(np.asarray(found) == np.asarray(exact), axis=1)) > 0.95
  both = np.stack([np.bincount(strings(x), minlength=VOCAB**NUM) for x in (found, exact)])
  assert np.abs(both[0] - both[1]).sum() / 2 / 4096 < 0.05
