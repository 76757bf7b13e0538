"""Students that are told their guidance, where the guided flow is known in closed form."""

import dataclasses
import functools
import itertools

import flows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from adiff.learn import consistency, continuous_consistency, guided, meanflow, progressive, shortcut
from adiff.nn import embed
from adiff.sample.solvers import flow_map
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, copies

MEANS = np.array([-0.2, 0.5, 0.1])  # of the data by its label; the last one: without
KINDS = {
  'progressive': (progressive.Progressive, dict(first=4, last=1, stage=10)),
  'consistency': (consistency.Consistency, dict(first=4, last=8)),
  'shortcut': (shortcut.Shortcut, dict(finest=8, flow=0.5)),
  'meanflow': (meanflow.Meanflow, dict(flow=0.5)),
  'continuous': (continuous_consistency.ContinuousConsistency, dict(warmup=1)),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled(flows.Exact):
  """Normal data whose mean is its label's. Guided at scale w, all that there is moves as if the
  mean were m + w (m_label - m): of one deviation, scores differ by what their means do."""

  guided: str = embed.NONE
  conds = {'label': conditions.Label(2)}

  @property
  def hears_guidance(self):
    return self.guided != embed.NONE

  def denoise(self, params, *, key=None, loops=False):
    def out(ask):
      t = copies.levels(ask.t, ask.slots)
      s = t if ask.s is None or not self.maps else copies.levels(ask.s, ask.slots)
      told = ask.cond.get('guidance', jnp.array([1.0, 0.0, 1.0])[None, None])
      x0 = self.guided_estimate(ask.x, t, s, ask.cond['label'], told)
      return flows.out_of(self.process, x0, ask.x, t) + 0 * params['unused']

    return ask_lib.from_outputs(out)

  def guided_estimate(self, x, t, s, label, told):
    """As `estimate`, guided as told [B, S, 3]."""
    scale, low, high = (told[..., i] for i in range(3))
    own = jnp.asarray(MEANS, x.dtype)[label]
    pulled = MEANS[-1] + scale * (own - MEANS[-1])
    top, bottom = jnp.clip(high, s, t), jnp.clip(low, s, t)
    y = x
    for mean, before, after in ((own, t, top), (pulled, top, bottom), (own, bottom, s)):
      y = self.moved(y, before, after, mean[..., None])
    here = jnp.where((t >= low) & (t <= high), pulled, own)[..., None]
    alpha, sigma = self.process.scales(t)
    gain = alpha * flows.DEVIATION**2 / (alpha**2 * flows.DEVIATION**2 + sigma**2)
    zero, one = jnp.zeros_like(x), jnp.ones_like(x)
    per_x0, ahead = self.process.move(zero, one, t, s), (s < t)[..., None]
    rest = y - self.process.move(x, zero, t, s)
    now = here + gain * (x - alpha * here)
    return jnp.where(ahead, rest / jnp.where(ahead, per_x0, 1), now)

  def moved(self, x, t, s, mean):
    (a_t, s_t), (a_s, s_s) = self.process.scales(t), self.process.scales(s)
    variance = flows.DEVIATION**2
    width = jnp.sqrt((a_s**2 * variance + s_s**2) / (a_t**2 * variance + s_t**2))
    return a_s * mean + width * (x - a_t * mean)


@dataclasses.dataclass(frozen=True, eq=False)
class Small(flows.Small):
  """That is told label and guidance, too."""

  guided: str = embed.SCALE
  hears_guidance = True
  conds = Labelled.conds
  inputs = 10

  def read(self, ask):
    told = jnp.nan_to_num(ask.cond['guidance'], nan=1.0)
    label = jax.nn.one_hot(ask.cond['label'] % 3, 3)
    return [label, 1 - 1 / told[..., :1], (1 - 1 / told[..., :1]) * label[..., :1]]


def rows(key, num):
  key_x, key_label = jax.random.split(key)
  label = jax.random.randint(key_label, (num,), 0, 2)
  x0 = jnp.asarray(MEANS)[label] + flows.DEVIATION * jax.random.normal(key_x, (num,))
  return {'tokens': x0[:, None, None], 'label': label}


def recipe(kind, model, taught=None, *, dropout=0.3, scales=(1.0, 3.0), **own):
  of = flows.recipe(kind, model, taught, scales=scales, **own)
  read = lambda _: dataclasses.replace(flows.teacher(taught), branches=2)
  return dataclasses.replace(
    of, plain=dataclasses.replace(of.plain, cond_dropout=dropout), read=read
  )


def taught(name, guided_by, schedule='cosine', prediction='v'):
  process = flows.gaussian_of(schedule, prediction)
  make, own = KINDS[name]
  return recipe(make, Labelled(process, guided=guided_by), Labelled(process), **own)


@pytest.mark.parametrize(('name', 'guided_by'), [
  ('meanflow', embed.INTERVAL),
  *(pytest.param(*one, marks=pytest.mark.soak) for one in (
    ('progressive', embed.SCALE), ('consistency', embed.SCALE), ('shortcut', embed.SCALE),
    ('continuous', embed.INTERVAL),
  )),
])
def test_the_exact_guided_map_has_no_error_where_a_teacher_is_guided_at_all_scales(name, guided_by):
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    of = taught(name, guided_by)
    state, batch = of.init(jax.random.key(0)), rows(jax.random.key(2), 64)
    error, _ = jax.jit(of.share)(state, state.params['denoiser'], batch, jax.random.key(3))
    assert float(error) < 1e-16


def test_what_a_network_says_with_and_without_conditions_is_guided_at_its_fixed_point():
  scale, mean, unasked = 2.5, 0.8, 0.1
  asked = unasked + scale * (mean - unasked)
  cond = {'guidance': jnp.array([[scale, 0.2, 0.7]] * 3)}
  x0 = jnp.full((3, 1, 1), mean)
  level = jnp.array([[0.1], [0.5], [0.9]])
  found = guided.target(x0, level, cond, jnp.full((3, 1, 1), asked), jnp.full((3, 1, 1), unasked))
  np.testing.assert_allclose(found[:, 0, 0], [mean, asked, mean], rtol=1e-6)


def test_scales_fill_their_range_and_half_of_the_intervals_are_whole():
  told = guided.sampled(jax.random.key(0), 4000, (1.0, 3.0), (0.2, 0.6), of=embed.INTERVAL)
  scale, low, high = np.asarray(told).T
  assert scale.min() < 1.01 and scale.max() > 2.99 and abs(scale.mean() - 2) < 0.05
  assert np.all(low <= high) and abs(np.mean((low == 0) & (high == 1)) - 0.5) < 0.03
  told = guided.sampled(jax.random.key(0), 4000, (1.0, 3.0), (0.2, 0.6), of=embed.SCALE)
  np.testing.assert_allclose(told[:, 1:], [[0.2, 0.6]] * 4000, rtol=1e-6)


LONG = {
  # name: (arguments, with a teacher?, schedule, updates, bound)
  'progressive': (dict(first=64, last=1, stage=2000), True, 'cosine', 14_000, 0.08),
  'meanflow': (dict(flow=0.5), True, 'flow', 16_000, 0.05),
  'meanflow_alone': (
    dict(flow=0.5, draw=flows.CORNER, scales=(1.0, 4.0)), False, 'flow', 16_000, 0.08
  ),
}


def taught_end(scale, label, noise):
  """Where the flow of Labelled, guided, takes noise."""
  return MEANS[-1] + scale * (MEANS[label] - MEANS[-1]) + flows.DEVIATION * noise


def mean_given(x, t, means):
  """E[x0 | x] in schedule flow, of equal parts of normal laws of these means."""
  alpha, variance = 1 - t, flows.DEVIATION**2
  width2 = alpha**2 * variance + t**2
  parts = [mean + alpha * variance / width2 * (x - alpha * mean) for mean in means]
  share = special.softmax([-(x - alpha * mean) ** 2 / (2 * width2) for mean in means], axis=0)
  return np.sum(share * np.stack(parts), axis=0)


def own_end(scale, label, noise, steps=1000):
  """Likewise of `rows`, whose law without labels is a mixture, not Labelled's."""
  def velocity(x, t):
    asked, unasked = (mean_given(x, t, means) for means in (MEANS[[label]], MEANS[:2]))
    return (x - unasked - scale * (asked - unasked)) / t

  x, grid = noise, np.linspace(1, 0, steps + 1)
  for before, after in itertools.pairwise(grid):
    middle = (before + after) / 2
    there = x + (middle - before) * velocity(x, before)
    x = x + (after - before) * velocity(there, middle)
  return x


def test_the_guided_flow_of_the_examples_ends_at_their_own_law_at_scale_one():
  noise = special.ndtri(np.linspace(0.01, 0.99, 99))
  for label in (0, 1):
    np.testing.assert_allclose(own_end(1.0, label, noise), taught_end(1.0, label, noise), atol=1e-5)


@pytest.mark.soak
@pytest.mark.parametrize('name', LONG)
def test_one_call_goes_where_the_guided_flow_goes_at_every_scale(name):
  own, with_teacher, schedule, steps, bound = LONG[name]
  process = flows.gaussian_of(schedule, 'v' if schedule == 'cosine' else 'flow')
  of = recipe(
    KINDS[name.partition('_')[0]][0], Small(process),
    Labelled(process, maps=False) if with_teacher else None,
    tx=optax.adam(optax.cosine_decay_schedule(5e-3, steps)), **own,
  )
  state, _ = flows.trained(of, steps, num=512, rows=rows)
  for scale in (1.0, 2.0, 3.0):
    for label in (0, 1):
      end = functools.partial(taught_end if with_teacher else own_end, scale, label)
      cond = {'label': jnp.full(99, label), 'guidance': jnp.array([[scale, 0.0, 1.0]] * 99)}
      bind = functools.partial(of.plain.under, cond=cond)
      missed = flows.missed(of, state, flow_map.FlowMap(), end=end, bind=bind)
      assert missed < bound, (scale, label, missed)
