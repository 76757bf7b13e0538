"""What a user asks for, from a file, from the handle, and what a report asks for by itself."""

import functools

import jax
import numpy as np
import pytest
import tiny

from adiff.machine import sharding
from adiff.run import asked_for, build, generate, model
from configs import base


@functools.cache
def made():
  """(parts, parameters) of a random network that is told of everything."""
  config = tiny.config('full-masked')
  everything = ('label', 'style', 'mood', 'map', 'words', 'notes')
  base.choose(config, 'data', 'told', by=everything, size=64)
  config.model.depth = config.model.encoder = config.plan.steps = 1
  parts = build.build(config)
  params = tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords)
  return parts, params


def told(num=6, seed=0):
  return made()[0].source.tell(num, seed=seed)


def handle():
  return model.Model(*made())


def test_the_handle_asks_for_what_the_sampler_of_the_binary_reads_in_a_file(tmp_path):
  parts, params = made()
  cond = told()
  np.savez(tmp_path / 'asked.npz', **cond)
  labels, further = asked_for.split(asked_for.read(tmp_path / 'asked.npz', parts))
  mesh = sharding.make_mesh(devices=jax.devices()[:1])
  with sharding.working(mesh):
    sampler = generate.Sampler(
      parts, params, mesh, batch_size=4, labels=labels, told=further, seed=5)
    tokens, asked, _, _ = sampler.sample(0, 6)
  label = cond.pop('label')
  found = handle().sample(6, label=label, cond=cond, seed=5, batch=4)
  np.testing.assert_array_equal(found.examples, tokens)
  np.testing.assert_array_equal(asked, label)
  other = handle().sample(6, label=label, cond={**cond, 'map': -9 * cond['map']}, seed=5, batch=4)
  assert np.any(other.examples != found.examples)


def test_a_score_is_told_too_and_what_is_not_told_is_nothing():
  cond, rows = told(), made()[0].source.examples('test', np.arange(6))['example']
  label = cond.pop('label')
  first, again, none = (
    handle().score(rows, samples=1, seed=1, **how)
    for how in (dict(label=label, cond=cond), dict(label=label, cond=cond), {}))
  np.testing.assert_array_equal(first.nats, again.nats)
  assert np.abs(first.nats - none.nats).max() > 1e-3 and np.isfinite(none.nats).all()


@pytest.mark.parametrize('arrays, sentence', [
  ({}, 'holds nothing; write one with numpy.savez'),
  ({'mood': np.zeros((2, 4))}, r'asked.npz: condition mood takes floats of the shape \[3\]'),
  ({'age': np.zeros(2)}, "holds 'age', and this model can be asked for label, style, mood, map"),
  ({'words': np.full((2, 3), 9)}, 'condition words holds 9; write 0 .. 5, or -1 for none'),
  ({'map': np.zeros((0, 6, 3))}, 'holds no value of map'),
])
def test_a_file_of_something_else_is_refused_in_a_sentence(tmp_path, arrays, sentence):
  np.savez(tmp_path / 'asked.npz', **arrays)
  with pytest.raises(ValueError, match=sentence):
    asked_for.read(tmp_path / 'asked.npz', made()[0])


def test_a_file_that_is_none_is_refused_and_one_that_is_not_there_is_named(tmp_path):
  (tmp_path / 'text.npz').write_text('label=3')
  with pytest.raises(ValueError, match='text.npz is no .npz file.*write one with'):
    asked_for.read(tmp_path / 'text.npz', made()[0])
  with pytest.raises(FileNotFoundError, match='nowhere.npz'):
    asked_for.read(tmp_path / 'nowhere.npz', made()[0])


def test_what_the_handle_cannot_ask_for_is_told_in_a_sentence():
  with pytest.raises(ValueError, match='write label=.. for that'):
    handle().sample(2, cond={'label': 1})
  with pytest.raises(ValueError, match="no condition 'age' to ask for; it has style, mood"):
    handle().sample(2, cond={'age': 1})


def test_a_sampler_that_is_told_more_than_labels_is_not_exported(tmp_path):
  parts, params = made()
  with pytest.raises(ValueError, match='told labels alone.*style, mood, map, words, notes'):
    generate.to_folder(parts, params, tmp_path / 'out', batch=2, seed=0, step=1)
