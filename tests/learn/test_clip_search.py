"""The search for a window of levels against gradients whose noise is known."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.learn import base, clip_search
from adiff.machine import checkpoint
from adiff.run import build
from adiff.run import workdir as workdir_lib
from adiff.sequence import draw as draw_lib
from benchmarks import clip_search as command

ROWS, WIDTH = 32, 512


@dataclasses.dataclass(frozen=True)
class Quadratic:
  """(scale / 2) |w - rows|^2 with normal noise in its gradient, of standard deviation `scale` t."""

  draw: tuple = (draw_lib.uniform(),)
  scale: float = 1.0

  def objective(self, params, rows, key):
    key_level, key_noise = jax.random.split(key)
    t = self.draw[0](key_level, (ROWS, 1))
    noise = jnp.mean(t * jax.random.normal(key_noise, (ROWS, WIDTH)), 0)
    away = params['w'] - rows['target']
    return self.scale * (0.5 * jnp.sum(away**2) + jnp.sum(noise * params['w'])), {}


def quadratic(recipe, **how):
  params, rows = {'w': jnp.full(WIDTH, 0.1)}, {'target': jnp.full(WIDTH, -0.1)}
  return clip_search.search(
    recipe, params, rows, jax.random.key(3), windows=[(0.0, 0.5), (0.5, 1.0)], draws=24, **how)


def expected(low, high):
  """Variance E t^2 / ROWS of each component against the squared gradient 0.2^2."""
  return (high**3 - low**3) / (3 * (high - low)) / ROWS / 0.2**2


def test_the_noise_is_that_of_a_gradient_with_known_variance():
  rows = quadratic(Quadratic())
  assert [(row['low'], row['high']) for row in rows] == [(0.0, 0.5), clip_search.FULL, (0.5, 1.0)]
  for row in rows:
    np.testing.assert_allclose(row['noise'], expected(row['low'], row['high']), rtol=0.06)
    np.testing.assert_allclose(row['loss'], 0.5 * WIDTH * 0.2**2, rtol=0.05)


def test_the_scale_of_the_loss_does_not_matter():
  noise = lambda rows: [row['noise'] for row in rows]
  np.testing.assert_allclose(
    noise(quadratic(Quadratic(scale=40.0))), noise(quadratic(Quadratic())), rtol=1e-4)


def test_a_draw_may_be_more_than_its_window():
  half = lambda low, high: draw_lib.Draw.within(low, high).with_atoms(zero=0.5)
  for one, other in zip(quadratic(Quadratic(), draw=half), quadratic(Quadratic()), strict=True):
    np.testing.assert_allclose(one['noise'], other['noise'] / 2, rtol=0.2)


def test_the_grid_lies_inside_the_full_range():
  windows = clip_search.grid((0.5, 0.8), 0.1)
  assert windows[:2] == [(0.0, 0.5), (0.1, 0.6)] and windows[-1] == (0.2, 1.0) and len(windows) == 9
  for window in windows:
    draw_lib.clipped(*window)


@pytest.mark.parametrize('wrong', [
  lambda: clip_search.grid(stride=0.0),
  lambda: clip_search.search(Quadratic(), {}, {}, jax.random.key(0), windows=[(0.5, 0.2)]),
  lambda: clip_search.search(Quadratic(), {}, {}, jax.random.key(0), windows=[], draws=1),
])
def test_what_cannot_be_searched_is_refused(wrong):
  with pytest.raises(ValueError):
    wrong()


def made(workdir, name):
  """The workdir of an untrained tiny run."""
  parts = build.build(tiny.config(name))
  workdir.mkdir(exist_ok=True)
  workdir_lib.claim(str(workdir), parts.config, parts.contract)
  keeper = checkpoint.Checkpoints(str(workdir))
  state = parts.recipe.init(jax.random.key(0))
  params = tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords)
  keeper.save(3, state.replace(ema={base.DENOISER: params}))
  keeper.close()
  return parts


@pytest.mark.soak
def test_the_command_names_the_window_of_least_noise(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(clip_search, 'grid', lambda: [(0.5, 1.0), (0.0, 0.5)])
  made(tmp_path, 'block-masked')
  command.main([f'--workdir={tmp_path}', '--draws=3'])
  report = json.loads((tmp_path / 'windows.json').read_text())
  rows = report['windows']
  assert report['step'] == 3 and report['draws'] == 3 and len(rows) == 3
  noise = [row['noise'] for row in rows]
  assert noise == sorted(noise) and noise[0] > 0 and np.all(np.isfinite(noise))
  out = capsys.readouterr().out.splitlines()
  low, high = rows[0]['low'], rows[0]['high']
  assert out[-1] == (
    f'--config.draw.name=clipped --config.draw.low={low:g} --config.draw.high={high:g}')
  assert len(out) == 5


@pytest.mark.parametrize('name, says', [
  (None, 'no config.json'), ('block-gaussian', 'process gaussian'), ('ar-masked', 'draw ones')])
def test_a_workdir_without_a_window_to_find_is_refused_in_one_sentence(
    tmp_path, capsys, name, says):
  if name:
    parts = build.build(tiny.config(name))
    workdir_lib.claim(str(tmp_path), parts.config, parts.contract)
  with pytest.raises(SystemExit) as stop:
    command.main([f'--workdir={tmp_path}'])
  lines = capsys.readouterr().err.splitlines()
  assert stop.value.code == 2 and len(lines) == 1 and says in lines[0]
