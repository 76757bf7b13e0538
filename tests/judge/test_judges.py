"""Judges: what each medium's says of samples that are known to be right."""

import dataclasses
import types

import numpy as np
import pytest
from judged import BOUND, letters, made_by, sampled, subject, table, titles
from sklearn import datasets

from adiff.codec import patches, pyramid, trained
from adiff.data import chain
from adiff.judge import base, bound, image, law, section, text
from adiff.judge.page import page
from adiff.run import build
from configs import digits


def test_samples_of_a_chain_pass_its_law_and_those_of_another_do_not():
  source = chain.Chain(num_tokens=6, size=512)
  asked = []

  def drawn(seed, tokens=None):
    made = source.sample(4000, seed=seed) if tokens is None else tokens
    own = subject(
      sampled(made), size=source.size, examples=source.examples, law_test=source.law_test,
      sample=lambda labels, told: asked.append(labels) or sampled(made),
    )
    return made_by(law.Law(), own)

  right = drawn(7)
  assert titles(right) == ['Law of the samples', 'Cost', 'Held-out bound']
  numbers = section.numbers(right)
  assert numbers['p_value'] > 1e-3 and numbers['num_samples'] == 4000 and numbers['nfe'] == 8
  assert numbers['nats'] == BOUND['nats'] and numbers['exact'] == 4.0
  wrong = drawn(7, np.zeros((4000, 6), int))
  assert section.numbers(wrong)['p_value'] < 1e-6
  real = source.examples('test', np.arange(4000) % source.size('test'))['label']
  np.testing.assert_array_equal(asked[0], real)
  shown = page.page('toy', (), right)
  assert 'p-value of the law of the samples' in shown and 'Fréchet' not in shown


def test_bound_and_likelihood_are_of_unequal_kinds():
  own = subject(sampled(np.zeros((4, 6), int)))
  exact = dataclasses.replace(own, bound={**BOUND, 'is_likelihood': True})
  elsewhere = dataclasses.replace(own, data='other data, test split')
  fewer = dataclasses.replace(own, bound={**BOUND, 'num_examples': 4})
  assert len({bound.kind(one) for one in (own, exact, elsewhere, fewer)}) == 4
  facts = {fact.key: fact for fact in section.all_facts(bound.of(own))}
  assert facts['nats'].kind == bound.kind(own) and facts['nats'].better == 'low'
  assert 'Upper bound' in bound.of(own).parts[0].words
  assert 'Upper bound' not in bound.of(exact).parts[0].words


def test_the_likelihood_by_the_ode_is_said_to_be_of_estimates_that_are_not_clipped():
  found = {'nats': 1.0, 'ci95': 0.1, 'bits_per_dim': 1.0, 'bits_ci95': 0.1, 'is_bound': True,
           'steps': 8}
  own = dataclasses.replace(subject(sampled(np.zeros((4, 6), int))), bound={**BOUND, 'ode': found})
  facts = {fact.key: fact for fact in section.all_facts(bound.of(own))}
  assert 'not clipped' in facts['nats_ode'].meaning


def test_the_bound_is_shown_by_block_and_level_with_the_numbers_of_the_pictures():
  figures = section.figures([bound.of(subject(sampled(np.zeros((4, 6), int))))])
  assert [figure.name for figure in figures] == ['per_block', 'per_level']
  assert figures[0].values == {'values': BOUND['per_block'], 'ci95': BOUND['per_block_ci95']}
  assert figures[1].values['values'] == BOUND['per_level']['values']


@pytest.fixture(scope='module')
def real_digits():
  """A subject whose samples are real digits, in 2 and in 4 steps."""
  bunch = datasets.load_digits()
  few = np.random.default_rng(0).permutation(len(bunch.target))[:500]
  pixels, labels = bunch.images.astype(np.uint8)[few, ..., None], bunch.target[few]
  splits = {'train': slice(0, 400), 'test': slice(400, None)}
  own = pixels[:100], labels[:100]
  trace = base.Trace(np.stack([pixels[:10]] * 3), None, np.zeros(64, int), np.zeros(1), 2)
  return subject(
    sampled(*own), num_classes=10, levels=17, trace=lambda num: trace,
    size=lambda split: len(pixels[splits[split]]),
    examples=lambda split, _: {'example': pixels[splits[split]], 'label': labels[splits[split]]},
    sample=lambda steps: sampled(*own, steps),
  )


def test_images_are_measured_and_stand_beside_what_they_are_compared_with(real_digits):
  found = made_by(image.Image(features=True), real_digits)
  assert titles(found) == ['Samples', 'Quality', 'Cost', 'Held-out bound', 'Nearest neighbours']
  quality = table(found, 'Quality')
  ours, others = quality.groups
  (row,) = ours.rows
  assert not others.ranked
  assert [row['name'] for row in others.rows] == [
    'real test split', '40-component mixture', 'class-conditional Gaussians']
  assert row['nn_ratio'] == 0 and row['accuracy'] > 0.95  # they are training images
  numbers = section.numbers(found)
  assert numbers['frechet'] == row['frechet'] and numbers['classifier_accuracy'] > 0.8
  kind, = {column.kind for column in quality.columns if column.better}
  for words in ('perceptron', '100 samples', 'data, test split'):
    assert words in kind
  assert [figure.name for figure in section.figures(found)] == [
    'samples', 'strip', 'quality', 'per_block', 'per_level', 'neighbours']


def test_comparisons_that_few_or_rare_images_do_not_allow_are_left_out(real_digits):
  found = real_digits.examples('train', None)
  few = {'example': found['example'][:36], 'label': np.where(np.arange(36), 0, 1)}
  own = dataclasses.replace(
    real_digits, attempt=lambda _, make: make(),
    examples=lambda split, rows: few if split == 'train' else real_digits.examples(split, rows),
  )
  (quality,) = [one for one in made_by(image.Image(features=True), own) if one.title == 'Quality']
  assert [row['name'] for row in table([quality], 'Quality').groups[1].rows] == ['real test split']
  assert any(
    'too few training images for a mixture of 40 components and a Gaussian a class' in part.words
    for part in quality.parts if isinstance(part, section.Text)
  )


def test_features_of_five_samples_are_refused_before_training():
  config = digits.get_config().unlock()
  config.eval.num = 5
  with pytest.raises(ValueError, match='compares at least 6 samples'):
    image.Image(features=True).needs(build.build(config))


def test_without_a_classifier_images_are_shown_and_not_measured(real_digits):
  found = made_by(image.Image(steps=(2,)), real_digits)
  assert titles(found) == ['Samples', 'Cost', 'Held-out bound']
  assert [row['steps'] for row in table(found, 'Cost').groups[0].rows] == [2, 4]


def test_fewer_samples_than_classes_are_shown_with_a_column_each(real_digits):
  made = real_digits.sample(4)
  few = sampled(made.tokens[:8], made.labels[:8])
  found = made_by(image.Image(), dataclasses.replace(real_digits, sample=lambda **_: few))
  assert titles(found) == ['Samples', 'Cost', 'Held-out bound']


def test_hidden_vectors_of_a_film_are_painted():
  tokens = np.linspace(-1, 1, 8).reshape(1, 1, 4, 2)
  hidden = np.array([[[True, False, False, True]]])
  own = subject(
    sampled(tokens[0]), levels=3, in_place=True,
    trace=lambda num: base.Trace(tokens, hidden, None, None, 1),
    decode=lambda x: np.rint(x + 1).astype(int).reshape(len(x), 2, 4, 1),
  )
  np.testing.assert_array_equal(image._frames(own).ravel(), [-1, -1, 1, 1, 1, 1, -1, -1])


def test_nothing_is_painted_of_a_film_whose_pixels_are_made_of_several_tokens():
  tokens = np.arange(8).reshape(1, 1, 8)
  trace = base.Trace(tokens, tokens > 3, None, None, 1)

  def decode(x):
    return (x + x[:, ::-1]).reshape(-1, 2, 4, 1)

  own = subject(sampled(tokens[0]), levels=16, decode=decode, trace=lambda num: trace)
  np.testing.assert_array_equal(image._frames(own).ravel(), [7] * 8)
  assert 'some symbol' in image._samples(own, decode(tokens[0])).parts[-1].caption
  in_place = {name: codec.in_place for name, codec in (
    ('patches', patches.Patches), ('pyramid', pyramid.Pyramid), ('trained', trained.Trained))}
  assert in_place == {'patches': True, 'pyramid': True, 'trained': False}


def test_masked_tokens_of_a_film_are_painted_and_latents_are_colours():
  tokens = np.arange(16).reshape(1, 1, 16)
  trace = base.Trace(tokens, tokens > 7, np.zeros(16, int), np.zeros(1), 1)
  own = subject(
    sampled(tokens[0]), levels=16, in_place=True,
    decode=lambda x: np.reshape(x, (len(x), 4, 4, 1)), trace=lambda num: trace,
  )
  frames = image._frames(own)
  np.testing.assert_array_equal(frames.ravel(), [*range(8), *[-1] * 8])
  latents = np.random.default_rng(0).normal(size=(4, 5, 5, 4))
  own = subject(
    sampled(latents), size=lambda split: 3, examples=lambda split, rows: {'example': latents[rows]}
  )
  found = made_by(image.Image(features=True), own)
  assert titles(found) == ['Samples', 'Cost', 'Held-out bound']
  assert [figure.name for figure in found[0].parts] == ['samples', 'samples_real']


def test_text_is_measured_by_token_and_byte_with_the_corpus_beside_it():
  found = made_by(text.Text((('threshold(threshold=0.5)', 2),)), letters())
  assert titles(found) == [
    'Samples', 'Which token was revealed when', 'Text', 'Samplers', 'Cost', 'Held-out bound']
  numbers = section.numbers(found)
  np.testing.assert_allclose(numbers['nats_per_token'], BOUND['nats'] / 15)
  np.testing.assert_allclose(numbers['bits_per_byte'], BOUND['nats'] / 15 / np.log(2))
  np.testing.assert_allclose(numbers['perplexity'], np.exp(numbers['nats_per_token']))
  assert numbers['known_words'] == 0.5 and numbers['calls_per_token'] == 8 / 15
  ours, corpus = table(found, 'Samplers').groups
  assert [(row['name'], row['steps']) for row in ours.rows] == [
    ('first_order', 4), ('threshold(threshold=0.5)', 2)]
  assert not corpus.ranked and corpus.rows[0]['unigram_entropy'] > 0
  reveal, = found[1].parts
  assert ''.join(reveal.tokens) == 'the the dog the'
  assert reveal.steps == (0,) * 4 + (1,) * 4 + (0,) * 7 and reveal.blocks == (0,) * 8 + (1,) * 7


def test_words_of_the_same_law_are_as_varied_as_the_corpus():
  rng = np.random.default_rng(0)
  law = 1 / np.arange(1, 2049)
  rows = rng.choice(2048, (4000, 64), p=law / law.sum())
  tokenizer = types.SimpleNamespace(
    vocab=2049, eos=2048, pieces=lambda row: [' '] * len(row), text=lambda row: ' ' * len(row),
  )
  own = dataclasses.replace(
    letters(), tokenizer=tokenizer, num=40, num_tokens=64, size=lambda split: 4000,
    tokens=lambda split, indices: {'tokens': rows[indices]},
  )
  corpus = text.Reference.of(own)
  made = corpus.scores(own, sampled(rows[-40:]))
  assert abs(made['unigram_entropy'] - corpus.unigram_entropy) < 0.04  # of all rows: 0.25 above


def test_a_text_models_tiles_are_per_byte_and_token_and_not_per_example():
  found = made_by(text.Text(), letters())
  tiles = [fact.tile for one in found for fact in section.all_facts(one) if fact.tile]
  assert tiles == [
    'bits per byte, held out', 'perplexity per token, held out',
    'share of generated words that the corpus knows', 'nats of unigram entropy',
    'tokens per second, at 0.53 network calls a token']
  assert 'Fréchet' not in page.page('toy', (), found)


def test_likelihoods_of_text_are_ranked_with_their_kind_alone():
  kinds = []
  for exact in (False, True):
    found = made_by(text.Text(), letters(exact))
    kinds += [fact.kind for one in found for fact in section.all_facts(one)
              if fact.key in ('bits_per_byte', 'nats_per_token')]
  assert len(set(kinds)) == 4
