"""A text model: what it writes, what it refuses to fill, and how likely it finds a text."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from adiff.nn import network
from adiff.run import build, language, overrides
from adiff.sequence import ask as ask_lib
from configs import base
from configs import text as text_config

TEXT = 'the cat sat on the mat. the dog sat on the log. ' * 40


@functools.cache
def corpus(folder):
  path = folder / 'corpus.txt'
  path.write_text(TEXT)
  return str(path)


@pytest.fixture(scope='session')
def path(tmp_path_factory):
  return corpus(tmp_path_factory.mktemp('text'))


@functools.cache
def model(path, row, size=None, solver=None, delay=None):
  """A tiny random text model of a row."""
  c = text_config.get_config(row)
  with c.unlocked():
    c.data.path, c.data.num_tokens = path, 16
    base.choose(c, 'codec', 'characters')
    c.train.next_token = 0.0
    if size:
      c.blocks.size, c.plan.steps = size, size
    c.plan.steps, c.plan.delay = min(c.plan.steps, 8), delay
    c.model.width, c.model.depth, c.model.heads = 16, 2, 2
  parts = build.build(overrides.arrange(c, '', solver=solver))
  params = tiny.random_params(parts.model, parts.process, parts.blocks, parts.spec.coords)
  return language.Model(parts, params)


def test_a_continuation_does_not_depend_on_the_prompts_beside_it(path):
  of = model(path, 'block4')
  together = of.generate(['the cat s', 'th', ''], seed=3)
  # Example i of a batch has the i-th key, so the first alone must come out the same.
  assert of.generate('the cat s', seed=3) == together[0]
  assert of.generate(['the cat s', 'the dog sat on'], seed=3)[0] == together[0]
  assert of.generate('the cat s', seed=4) != together[0]


@pytest.mark.parametrize('row, delay', [('block4', None), ('forcing', 3)])
def test_texts_grow_block_by_block_and_end_as_returned(path, row, delay):
  of, seen = model(path, row, 4, delay=delay), []
  texts = of.generate(['the ', 'a'], seed=1, stop=False, show=seen.append)
  assert len(seen) == 4  # 16 tokens in blocks of 4; 'a' begins in the first
  for before, after in zip(seen[:-1], seen[1:], strict=True):
    assert all(new.startswith(old) for old, new in zip(before, after, strict=True))
  assert seen[-1] == texts and [len(text) for text in texts] == [12, 15]


def test_no_more_tokens_are_written_than_asked_for_and_no_block_for_nothing(path):
  of, seen = model(path, 'block4'), []
  written = of.write(['the '], seed=1, num_tokens=3, stop=False, show=seen.append)
  assert len(written.texts[0]) == 3 and written.tokens.tolist() == [3]
  assert len(seen) == 1 and written.calls.tolist() == [4]


def test_a_text_ends_at_its_end_of_text(path):
  of = model(path, 'block4')
  bias = of.params['out']['bias'].at[of.tokenizer.eos].set(1e3)
  params = {**of.params, 'out': {**of.params['out'], 'bias': bias}}
  written = language.Model(of.parts, params).write(['the cat '])
  assert written.texts == [''] and written.tokens.tolist() == [0] and written.calls.max() <= 4


def test_a_prompt_that_fills_the_row_is_refused(path):
  with pytest.raises(ValueError, match='fills the row of 16'):
    model(path, 'block4').generate('the cat sat on the mat')


def test_a_hole_is_filled_by_one_block_and_refused_by_blocks_that_come_before_its_right_side(path):
  assert len(model(path, 'full').fill('the c', 2, ' sat')) == 2
  assert len(model(path, 'block16', 8).fill('the ', 2, 't')) == 2  # all in one block
  with pytest.raises(ValueError, match='hole in block 1 with given tokens in block 2.*full'):
    model(path, 'block4').fill('the ', 3, ' sat')
  with pytest.raises(ValueError, match='do not fit'):
    model(path, 'full').fill('the ', 20, ' sat')


def test_a_hole_that_comes_last_in_the_order_may_lie_anywhere(path):
  of = model(path, 'block4')
  order = tuple([*range(4), *range(8, 16), *range(4, 8)])
  blocks = dataclasses.replace(of.parts.blocks, order=order)
  parts = dataclasses.replace(of.parts, geometries=((blocks, of.parts.draw),))
  last = language.Model(parts, of.params)
  text = 'the cat sat on t'
  assert len(last.fill(text[:4], 4, text[8:])) == 4
  with pytest.raises(ValueError, match='hole'):
    last.fill(text[:8], 4, text[12:])


def test_the_loss_of_an_ar_model_is_its_token_by_token_evaluation_through_the_cache(path):
  of = model(path, 'ar')
  parts, text = of.parts, 'the dog sat on t'
  ids = of.tokenizer.symbols(text)[None]
  denoise = network.condition(parts.model.denoise(of.params), {'label': jnp.full(1, -1)})

  @functools.partial(jax.jit, static_argnames='keep')
  def call(x, t, slots, cache, keep):
    return denoise(ask_lib.Ask(x, t, slots, s=0 * t, cache=cache, keep=keep))

  slots = parts.blocks.token_slots(parts.spec.coords)
  cache, nats = parts.model.empty_cache(1, 15, 1), []
  for k in range(16):
    here = jax.tree.map(lambda leaf, k=k: leaf[max(k - 1, 0):k + 1], slots)
    x = jnp.array([[parts.process.mask_id]])
    if k == 0:
      out, _ = call(x, jnp.ones((1, 1)), here, cache, 0)
    else:
      x = jnp.concatenate([ids[:, k - 1:k], x], 1)
      here = here._replace(stream=jnp.array([1, 0]))
      out, cache = call(x, jnp.array([[0.0, 1.0]]), here, cache, 1)
    nats.append(-float(jax.nn.log_softmax(out[0, -1])[ids[0, k]]))
  score = of.loglikelihood('', text)
  np.testing.assert_allclose(-score['log_p'], sum(nats), rtol=1e-5)
  assert score['exact'] and score['ci95'] == 0 and score['tokens'] == 16


def test_the_likelihood_of_a_text_is_that_of_its_beginning_times_the_rest(path):
  of = model(path, 'ar')
  whole = of.loglikelihood('', 'the dog')['log_p']
  parts = of.loglikelihood('', 'the')['log_p'] + of.loglikelihood('the', ' dog')['log_p']
  np.testing.assert_allclose(whole, parts, rtol=1e-5)


def test_unknown_text_behind_a_continuation_does_not_change_its_bound(path):
  # Blocks that hold none of it cost nothing, and the estimate says how uncertain it is.
  of = model(path, 'block4')
  score = of.loglikelihood('the ', 'cat ', samples=200)
  assert not score['exact'] and 0 < score['ci95'] < 0.5 * abs(score['log_p'])
  exact = of.loglikelihood('the cat sat on ', 't', samples=200)
  assert exact['ci95'] < 1e-5  # one token in its block: nothing to average over


def test_perplexity_counts_the_end_of_text_and_cuts_documents_at_rows(path):
  of = model(path, 'ar')
  documents = ['the cat', 'the dog sat on the mat']
  score = of.perplexity(documents)
  assert score['tokens'] == 8 + 23
  pieces = [documents[1][:16], documents[1][16:]]
  nats = -sum(of.loglikelihood('', text)['log_p'] for text in pieces)
  alone = of.perplexity(documents[1:])
  end = alone['nats_per_token'] * 23 - nats  # what the end-of-text costs
  assert 0 < end < 20
  np.testing.assert_allclose(score['perplexity'], np.exp(score['nats_per_token']))
  np.testing.assert_allclose(
    alone['bits_per_byte'], alone['nats_per_token'] * 23 / np.log(2) / 22, rtol=1e-6)


def test_other_noise_than_masks_cannot_score_a_text_among_unknown_ones(path):
  with pytest.raises(ValueError, match='process masked'):
    model(path, 'uniform', 4).loglikelihood('', 'the')


def test_a_solver_is_named_with_its_arguments():
  assert overrides.parse_solver('first_hitting') == {'name': 'first_hitting'}
  assert overrides.parse_solver(' threshold(threshold=0.8, edit=None) ') == {
    'name': 'threshold', 'threshold': 0.8, 'edit': None}
  assert overrides.parse_solver('scheduled(choose=confidence)')['choose'] == 'confidence'
  for wrong in ('threshold(', 'threshold(0.8)', ''):
    with pytest.raises(ValueError, match='solver'):
      overrides.parse_solver(wrong)


def test_the_budget_solver_reveals_what_the_profile_makes_best(path, tmp_path):
  config = model(path, 'block4').parts.config
  with pytest.raises(ValueError, match='--mode=eval'):
    overrides.arrange(config, tmp_path, solver='budget')
  (tmp_path / 'eval.json').write_text(json.dumps({'profile': {'nats': [0, 0, 0, 5.0]}}))
  arranged = overrides.arrange(config, tmp_path, solver='budget', steps=2)
  assert arranged.spacing.counts == (1, 3) and arranged.plan.steps == 2
  with pytest.raises(ValueError, match='blocks of 4 tokens, not of 8'):
    overrides.arrange(config, tmp_path, solver='budget', block_size=8)


def test_another_block_size_is_another_factorisation_of_the_same_network(path):
  of = model(path, 'block4')
  config = overrides.arrange(of.parts.config, '', block_size=1)
  singles = language.Model(build.build(config), of.params)
  assert singles.loglikelihood('', 'the cat')['exact']
  assert len(singles.generate('the ', stop=False)) == 12


def test_images_are_no_language():
  with pytest.raises(ValueError, match='is no text'):
    language.Model(tiny.regime('block-masked').parts, {})


@pytest.mark.parametrize('call, words', [
  (lambda of: of.generate('the ', num_tokens=0), 'num_tokens=0.*1 or more'),
  (lambda of: of.generate('the ', num_tokens=-2), 'num_tokens=-2'),
  (lambda of: of.generate('the ', seed=-1), 'seed=-1'),
  (lambda of: of.generate([]), 'no prompt'),
  (lambda of: of.fill('the ', 0, ' sat'), 'num_tokens=0'),
  (lambda of: of.fill('the ', 2, ' sat', seed=-1), 'seed=-1'),
  (lambda of: of.loglikelihood('the ', 'cat', samples=0), 'samples=0'),
  (lambda of: of.loglikelihood('the ', 'cat', seed=-1), 'seed=-1'),
  (lambda of: of.perplexity([]), 'no document'),
  (lambda of: of.perplexity('a text'), 'a text is one document; write a list'),
  (lambda of: of.perplexity(['a'], samples=0), 'samples=0'),
], ids=range(11))
def test_a_number_that_writes_or_scores_nothing_is_refused(path, call, words):
  with pytest.raises(ValueError, match=words):
    call(model(path, 'full'))


@pytest.mark.parametrize('how', [
  dict(block_size=0), dict(block_size=-4), dict(steps=0), dict(steps=-1)
], ids=str)
def test_blocks_and_steps_of_nothing_are_named_as_they_were_asked_for(path, how):
  (key, value), = how.items()
  with pytest.raises(ValueError, match=f'^{key}={value} '):
    overrides.arrange(model(path, 'block4').parts.config, '', **how)
