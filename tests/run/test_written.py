"""What a text model says it wrote, with every family of tokenizers: prompts, text that streams,
holes and likelihoods."""

import types
from typing import NamedTuple

import numpy as np
import pytest
import vocabularies
from absl import flags
from absl.testing import flagsaver

from adiff import main
from adiff.judge import text as text_judge
from adiff.run import handle, language
from adiff.sequence import blocks as blocks_lib

NUM = 128
WHOLE = vocabularies.TEXT


class Scripted(language.Model):
  """A model that always writes WHOLE, token by token, whatever it is asked."""

  @property
  def script(self):
    ids = self.tokenizer.symbols(WHOLE)
    return np.append(ids, np.full(NUM - len(ids), self.tokenizer.eos))[None]

  def _walk(self, given, mask, seed, until, *, stop, notice=None):
    np.testing.assert_array_equal(given[mask], self.script.repeat(len(mask), 0)[mask])
    rows = self.script.repeat(len(given), 0)
    for made in range(1, until + 1):
      if notice is not None:
        notice(np.where(np.arange(NUM) < made, rows, 0), made)
    return rows, np.ones(len(given)), 1.0

  def _score(self, tokens, labels, given, samples, seed):
    self.scored.append((tokens[0], given[0]))
    return np.zeros(1), np.zeros(1)

  def _labels(self, label, num):
    return np.full(num, -1)

  scored: list = []
  _exact = True


class At(NamedTuple):
  """Where a walk is."""

  made: int
  state: types.SimpleNamespace


def scripted(name):
  parts = types.SimpleNamespace(
    spec=types.SimpleNamespace(medium='text'), coded=types.SimpleNamespace(
      codec=vocabularies.named(name)), blocks=blocks_lib.whole(NUM),
    process=types.SimpleNamespace(absorbing=True, mask_id=-1),
    config=types.SimpleNamespace(seed=0),
  )
  return Scripted(parts, {})


@pytest.fixture(params=vocabularies.NAMES)
def model(request):
  return scripted(request.param)


def whole(model):
  return model.tokenizer.text(model.tokenizer.symbols(WHOLE))


def test_prompt_and_continuation_joined_are_the_text(model):
  prompts = ['', 'the cat', 'the cat sat on']
  texts = model.generate(prompts)
  spaced = ' ' if model.tokenizer.text(model.tokenizer.symbols('the')).startswith(' ') else ''
  assert texts[0] == whole(model)
  assert [spaced + a + b for a, b in zip(prompts[1:], texts[1:], strict=True)] == [whole(model)] * 2
  assert texts[1].startswith(' sat on the mat')


def printed(model, prompts, monkeypatch, capsys):
  """What the binary prints for prompts."""
  monkeypatch.setattr(handle, 'load', lambda *_, **__: model)
  with flagsaver.flagsaver():
    flags.FLAGS(['adiff', '--mode=sample', '--workdir=here', *(f'--prompt={p}' for p in prompts)])
    code = main.run()
  flags.FLAGS.unparse_flags()
  assert code == 0
  return capsys.readouterr().out


def test_a_text_on_the_terminal_is_the_same_as_one_that_did_not_stream(model, monkeypatch, capsys):
  spaced = whole(model).removeprefix(' ')
  assert printed(model, ['the cat'], monkeypatch, capsys) == f'{spaced}\n'
  assert printed(model, ['the cat', 'the cat sat on'], monkeypatch, capsys) == f'{spaced}\n\n' * 2


def test_texts_that_stream_only_grow_and_the_last_is_what_is_returned(model):
  seen = []
  text = model.generate('the cat', show=lambda texts: seen.append(texts[0]))
  assert seen[-1] == text and len(set(seen)) > 10
  for early, late in zip(seen[:-1], seen[1:], strict=True):
    assert late.startswith(early) and not early.endswith('\ufffd')


def test_in_another_order_than_that_of_reading_a_text_shows_what_stands_without_a_gap(monkeypatch):
  model, seen = scripted('characters'), []
  order = (*range(4), *range(8, NUM), *range(4, 8))
  blocks = blocks_lib.Blocks((4, NUM - 8, 4), order)
  model = Scripted(types.SimpleNamespace(**{**vars(model.parts), 'blocks': blocks}), {})
  ends = [4, NUM - 4, NUM]
  walk = types.SimpleNamespace(
    windows=[types.SimpleNamespace(window=types.SimpleNamespace(start=0))] * len(ends),
    stand=lambda now: ([0] + ends)[now.made], start=lambda *_: at(0),
    ended=lambda now: now.made == len(ends), prepare=lambda _, now: now,
    advance=lambda _, now: (at(now.made + 1), None),
  )

  def at(made):
    tokens = np.where(np.arange(NUM) < ([0] + ends)[made], blocks.from_raster(model.script), 0)
    return At(made, types.SimpleNamespace(x=tokens, calls=np.ones(1)))

  monkeypatch.setattr(language.generate, 'make_session', lambda *_, **__: walk)
  monkeypatch.setattr(Scripted, '_walk', language.Model._walk)
  monkeypatch.setattr(Scripted, '_plan', lambda *_: None)
  text = model.generate('', show=lambda texts: seen.append(texts[0]))
  assert seen == ['the ', 'the ', WHOLE] and text == WHOLE


def test_a_text_that_is_cut_at_its_number_of_tokens_is_whole_when_its_last_one_stands():
  model, seen = scripted('bytes'), []
  before, _ = WHOLE.split('é')
  written = model.write(
    [before], num_tokens=1, stop=False, show=lambda texts: seen.append(texts[0])
  )
  assert written.texts == ['\ufffd'] and seen[-1] == '\ufffd'  # half a character is all there is


def test_a_filled_hole_joins_both_sides(model):
  ids = model.tokenizer.symbols(WHOLE)
  before, after = 'the cat', ' on the mat. a naïve café costs 3 € or 👩‍🚀, they said'
  begin, end = len(model.tokenizer.symbols(before)), len(model.tokenizer.following(before, after))
  np.testing.assert_array_equal(ids[len(ids) - end:], model.tokenizer.following(before, after))
  assert model.fill(before, len(ids) - begin - end, after) == ' sat'


def test_a_continuation_is_scored_by_the_symbols_it_has_behind_its_prompt(model):
  score = model.loglikelihood('the cat', ' sat on')
  tokens, given = model.scored.pop()
  ids = model.tokenizer.symbols('the cat sat on')
  np.testing.assert_array_equal(tokens[:len(ids)], ids)
  assert score['tokens'] == (~given).sum() == len(ids) - len(model.tokenizer.symbols('the cat'))


def test_the_tokens_of_a_page_are_the_text_and_every_document_begins_anew(model):
  tokenizer, ids = model.tokenizer, model.tokenizer.symbols('the cat sat')
  pieces = text_judge.pieces(tokenizer, np.concatenate([ids, [tokenizer.eos], ids, [-1]]))
  assert len(pieces) == 2 * len(ids) + 2 and pieces[len(ids)] == '\u2402'
  assert ''.join(pieces[:len(ids)]) == tokenizer.text(ids)
  assert ''.join(pieces[len(ids) + 1:]) == tokenizer.text(ids) + '\ufffd'
