"""Subjects that judges look at in tests: what is measured of the model is given."""

import dataclasses
import json
import types

import numpy as np

from adiff.judge import base, likelihood, section
from adiff.judge.page import page

NATS = np.random.default_rng(0).random((8, 2, 3)) + 1  # [examples, samples, blocks]
BOUND = {
  **likelihood.summary(NATS, NATS - 1, NATS, dims=6), 'is_likelihood': False, 'exact': 4.0,
  'dequantisation': 'symbols: a probability',
}


def subject(sampled, **more):
  """A subject whose samples are the same, however they are asked for."""
  facts = dict(
    data='data, test split', split='test', seed=0, num=len(sampled.tokens), steps=sampled.steps,
    solver='first_order', num_classes=0, num_tokens=sampled.tokens.shape[1], bound=BOUND,
    sample=lambda **_: sampled, trace=None, size=None, tokens=None,
    examples=None, decode=np.asarray,
  )
  return base.Subject(**{**facts, **more})


def sampled(tokens, labels=None, steps=4):
  labels = np.full(len(tokens), -1, np.int32) if labels is None else labels
  return base.Sampled(tokens, labels, 0, steps, nfe=8.0, seconds=2.0, gflop=0.5, cache_kib=1.5)


def titles(sections):
  """Titles, after the sections have been shown and written as JSON."""
  page.page('toy', (), sections)
  json.dumps(section.as_data(sections), allow_nan=False)
  return [one.title for one in sections]


def made_by(judge, subject):
  """The sections of a judge as they are at last."""
  return base.latest(judge.sections(subject))


def table(sections, title):
  part, = [part for one in sections if one.title == title for part in one.parts
           if isinstance(part, section.Table)]
  return part


def letters(exact=False):
  """A subject of rows of letters: its corpus is 'the cat', its samples read 'the the the dog'."""
  pieces = lambda row: ['abcdefghijklmnopqrstuvwxyz '[i] for i in row]
  tokenizer = types.SimpleNamespace(
    vocab=28, eos=27, pieces=pieces, text=lambda row: ''.join(pieces(row)), num_bytes=len,
  )
  encode = lambda words: np.array([['abcdefghijklmnopqrstuvwxyz '.index(c) for c in words]])
  rows = encode('the cat the cat')
  made = sampled(encode('the the dog the').repeat(2, 0))
  shown = np.array([[4], [8], [15]])  # tokens, after each row of the plan
  hidden = (np.arange(15) >= shown)[:, None]
  trace = base.Trace(
    np.where(hidden, 0, made.tokens[:1]), hidden, np.arange(15) // 8, np.array([0, 2]), 2
  )
  return subject(
    made, bound={**BOUND, 'num_examples': 8, 'is_likelihood': exact}, size=lambda split: 8,
    tokens=lambda split, indices: {'tokens': rows.repeat(len(indices), 0)},
    corpus=types.SimpleNamespace(name='cats', documents=lambda split: ['the cat'] * 4),
    tokenizer=tokenizer, codec='letters', trace=lambda num: trace,
    sample=lambda solver=None, steps=None: dataclasses.replace(made, steps=steps or 4),
  )
