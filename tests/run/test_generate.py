"""What the config asks of samples reaches them: another walk, a draft, guidance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.machine import checkpoint
from adiff.run import build, drafted, generate
from adiff.run import workdir as workdir_lib
from adiff.sequence import ask as ask_lib

KEYS = generate.example_keys(0, 0, 4)
LABELS = np.full(4, -1, np.int32)


def parts_of(row, **changes):
  config = tiny.config(row)
  with config.unlocked():
    config.update_from_flattened_dict(changes)
  return build.build(config)


@functools.cache
def params_of(row):
  parts = parts_of(row)
  return tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords)


def made(row, **changes):
  """(samples, network calls) of a row's network."""
  x, calls = generate.make_sampler(parts_of(row, **changes))(params_of(row), KEYS, LABELS)
  return jax.tree.map(np.asarray, x), np.asarray(calls)


@pytest.mark.parametrize('method', ['picard', 'anderson'])
def test_steps_in_parallel_make_the_samples_of_steps_one_after_another_in_fewer_rounds(method):
  how = {'solver': {'name': 'first_order'}, 'process.eta': 0.0, 'plan.steps': 8}
  plain, calls = made('full-gaussian', **how)
  found, rounds = made('full-gaussian', **how, **{
    'parallel.method': method, 'parallel.tolerance': 1e-5})
  np.testing.assert_allclose(found, plain, atol=1e-3)
  assert rounds.max() < calls.min()


def test_drafted_steps_are_those_of_the_config():
  how = {'solver': {'name': 'first_order'}, 'process.eta': 1.0, 'plan.steps': 8}
  plain, calls = made('full-gaussian', **how)
  found, fewer = made('full-gaussian', **how, **{'speculative.steps': 4})
  assert found.shape == plain.shape and fewer.mean() < calls.mean()
  assert not np.array_equal(found, plain)  # the same law, of other draws


def test_a_draft_is_read_from_its_workdir_and_leaves_greedy_samples_as_they_are(tmp_path):
  draft = parts_of('block')
  workdir_lib.write(tmp_path, draft.config, draft.contract)
  state = draft.recipe.init(jax.random.key(3))
  saved = checkpoint.Checkpoints(tmp_path)
  saved.save(1, state)
  saved.close()
  greedy = {'truncation.temperature': 1e-6}
  plain, _ = made('ar', **greedy)
  found, _ = made('ar', **greedy, **{
    'speculative.draft': str(tmp_path), 'speculative.tokens': 2})
  np.testing.assert_array_equal(found, plain)
  parts = parts_of('ar', **{'speculative.draft': str(tmp_path)})
  assert drafted.load(parts).blocks.sizes == draft.blocks.sizes
  given = generate.Held(jnp.zeros((4, 6), jnp.int32), jnp.zeros((4, 6), bool))
  with pytest.raises(ValueError, match='makes whole samples'):
    generate.make_sampler(parts)(params_of('ar'), KEYS, LABELS, None, given)


def test_guidance_of_the_config_acts_in_its_interval_and_at_its_scale():
  parts = parts_of('block-gaussian', **{
    'data.labelled': True, 'guidance.scale': 2.0, 'guidance.first': 2.0,
    'guidance.interval': (0.2, 0.8)})
  label = ask_lib.from_outputs(lambda ask: ask.cond['label'].astype(float)[..., None])
  denoise = generate.guided(parts, label, {'label': jnp.array([3])})
  t = jnp.asarray([[0.5, 0.5, 0.9, 0.9, 0.1, 0.1]])
  ask = ask_lib.Ask(jnp.zeros((1, 6)), t, parts.blocks.token_slots(parts.spec.coords))
  np.testing.assert_allclose(np.asarray(denoise(ask).out)[0, :, 0], [7, 7, 3, 3, 3, 3])


def test_guidance_by_a_kind_that_training_hides_moves_what_stands_behind_it():
  hidden = {'kinds.symbols.dropout': 0.1}
  found = [
    made('joint', **hidden, **{'guidance.scale': scale, 'guidance.first': scale})[0]
    for scale in (1.0, 3.0)
  ]
  np.testing.assert_array_equal(found[0].parts['symbols'], found[1].parts['symbols'])
  assert np.abs(found[0].parts['floats'] - found[1].parts['floats']).max() > 1e-3
