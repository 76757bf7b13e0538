"""What launch/same records: every regime, tiny, and how each is sampled."""

import dataclasses
import functools
import pathlib
import random
import tempfile

import numpy as np

STEPS = 50  # of training
NUM = 8  # samples drawn, and examples of a bound
FEW = ('own', 'given')  # draws, see draws_of
# Draws of rows of configs/toy.py, which are compiled each: the others differ in their blocks alone.
TOYS = {'block': None, 'full': FEW, 'forcing': FEW}


@dataclasses.dataclass(frozen=True)
class Row:
  """A config, configs/FILE.py:ARGUMENT made tiny, then with `changes`, {key: value}; the value of a
  choice is a dictionary with its name. draws: names; None: all that fit."""

  file: str
  argument: str
  changes: dict = dataclasses.field(default_factory=dict)
  draws: tuple[str, ...] | None = ('own',)


_PACKED = {'data.packed': True}
_LABELS = {'cond_dropout': 0.3, 'model.depth': 2}
_LONG = {'data.num_tokens': 12, 'model.reach': 2, 'model.sinks': 1}
_STOCHASTIC = {
  'process.eta': 1.0, 'process.weight': 'min_snr', 'plan.first': 6,
  'draw': dict(name='logit_normal', shared=True), 'spacing': dict(name='cosine'),
  'solver': dict(name='first_order'),
}
_CELLS = {
  'codec': dict(name='patches', patch=2), 'blocks': dict(name='cells', cell=(2, 2)),
  'process.schedule': 'flow', 'process.prediction': 'flow',
}
# Besides every row of configs/toy.py. Where only training differs, one draw will do.
VARIANTS = {
  # the network
  'dropout': Row('toy', 'block-masked', {'model.dropout': 0.2}),
  'hints-masked': Row(
    'toy', 'block-masked', {'model.self_condition': True}, FEW),
  'hints-gaussian': Row(
    'toy', 'block-gaussian', {'model.self_condition': True}, ('multistep', 'given')),
  'reach-masked': Row('toy', 'block-masked', _LONG, FEW),
  'reach-forcing': Row('toy', 'forcing-gaussian', _LONG),
  'remat': Row('toy', 'block-masked', {'model.remat': 'layers', 'model.depth': 3}),
  'large': Row('toy', 'block-masked', {'data.vocab': 1100}),
  'large_cut': Row('toy', 'block-masked', {
    'data.vocab': 1100, 'train.random_length': 0.5, 'train.microbatches': 2}),
  # what is learnt
  'random_length': Row('toy', 'block-masked', {'train.random_length': 0.5}),
  'complementary': Row('toy', 'block-masked', {'train.complementary': True}),
  'next_token': Row('toy', 'block-masked', {'train.next_token': 1.0}),
  'block_sizes': Row('toy', 'block-masked', {
    'train.block_sizes': (1, 3), 'train.batch_size': 12}),
  'microbatches': Row('toy', 'block-masked', {
    'train.microbatches': 2, 'optim.schedule': 'wsd'}),
  'shifted': Row('toy', 'ar-masked', {'blocks.stream': 'shifted'}, FEW),
  # history
  'stabilised-masked': Row('toy', 'block-masked', {'history': 0.02}),
  'stabilised-gaussian': Row('toy', 'block-gaussian', {'history': 0.02}),
  # noise
  'stochastic': Row('toy', 'block-gaussian', _STOCHASTIC),
  'mixed': Row('toy', 'block-masked', {'process': dict(name='mixed')}, ('own', 'cut')),
  'uniform_bound': Row('toy', 'block-uniform', {'process.objective': 'bound'}),
  # digits: class labels, and blocks that are not in raster order
  'labels': Row('digits', 'short', _LABELS, ('own', 'guided')),
  'labels_history': Row('digits', 'short', {**_LABELS, 'history_cond': True}, ('guided',)),
  'labels-masked': Row('digits', 'masked', {**_LABELS, 'history_cond': True}, ('guided',)),
  'cells': Row('digits', 'short', _CELLS),
  'pyramid': Row('digits', 'scales', {'codec.sides': (1, 8), 'blocks.sides': (1, 8)}),
  # text
  'text_full': Row('text', 'full', {}, FEW),
  'text': Row('text', 'block4', {'model.depth': 2}, ('own', 'stop')),  # with train.next_token
  'packed': Row('text', 'block4', {**_PACKED, 'train.next_token': 0.0}),
  'packed_next_token': Row('text', 'block4', {**_PACKED, 'train.random_length': 0.25}),
  'packed_shifted': Row('text', 'ar', {**_PACKED, 'blocks.stream': 'shifted'}, ('own', 'stop')),
}


def rows_of(adapter) -> dict[str, Row]:
  """{name: row} of a checkout."""
  draws = lambda name: TOYS.get(name.partition('-')[0], ('own',))
  return {name: Row('toy', name, {}, draws(name)) for name in adapter.toys()} | VARIANTS


def tiny(adapter, config):
  """Makes any config small, in place."""
  small = {
    'data.size': 64, 'data.num_tokens': 24 if config.data.name == 'text' else None,
    'data.path': texts() if config.data.name == 'text' else None,
    'model.width': 16, 'model.depth': 1, 'model.heads': 2, 'model.dtype': 'float64',
    'plan.steps': min(config.plan.steps, 4), 'train.steps': STEPS, 'train.batch_size': NUM,
    'optim.learning_rate': 1e-2, 'optim.warmup': 5, 'train.ema': 0.9, 'guidance.scale': 1.0,
    'eval.batch_size': NUM, 'eval.examples': NUM, 'eval.samplers': (),
  }
  for key, value in small.items():
    section, name = key.split('.')
    if value is not None and name in config[section]:
      adapter.set(config, key, value)
  if config.history is None:
    adapter.set(config, 'plan.delay', 2)  # a pyramid
  if config.data.name == 'text':
    adapter.set(config, 'codec', dict(name='characters'))
  elif config.data.name != 'digits' and config.blocks.name == 'scales':
    adapter.set(config, 'blocks.sides', (1, 2))
    adapter.set(config, 'data.num_tokens', 5)
    if config.data.get('sides'):
      adapter.set(config, 'data.sides', (1, 2))


@functools.cache
def texts() -> str:
  """A folder of short documents, always the same."""
  folder = tempfile.TemporaryDirectory(prefix='same-')
  texts.kept = folder  # until the process ends
  rng = random.Random(0)
  words = 'a block of noise reads what came before it and is clean when all its steps are made'
  for index in range(60):
    text = ' '.join(rng.choice(words.split()) for _ in range(rng.randint(1, 9)))
    pathlib.Path(folder.name, f'{index:02d}.txt').write_text(text + '.\n')
  return folder.name


# ---- Draws ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Draw:
  """Samples by the row's config with `changes`. given: whether tokens are, see given_tokens."""

  changes: dict
  given: bool = False
  stop: bool = False


_GUIDED = {'guidance.scale': 2.0, 'guidance.first': 1.5}
_CUT = {'truncation.temperature': 0.7, 'truncation.top_k': 2}
_FILLS = {'plan.delay': None}  # a solver that fills one block before the next
# {process: {name: changes}}, besides 'own', the config's own solver.
DRAWS = {
  'gaussian': {
    'first_order': {'solver': dict(name='first_order')},
    'heun': {'solver': dict(name='heun')},
    'multistep': {'solver': dict(name='multistep')},
  },
  'masked': {
    'first_order': {'solver': dict(name='first_order')},
    'first_hitting': {'solver': dict(name='first_hitting'), **_FILLS},
    'threshold': {'solver': dict(name='threshold', threshold=0.5), **_FILLS},
    'entropy_bound': {'solver': dict(name='entropy_bound', bound=0.8), **_FILLS},
    'random': {'solver': dict(name='scheduled', choose='random'), **_FILLS},
    'confidence': {'solver': dict(name='scheduled', choose='confidence'), **_FILLS},
  },
}


def draws_of(row, config, classes) -> dict[str, Draw]:
  """{name: draw} of a row whose data has so many classes."""
  process = config.process.name
  found = {name: Draw(changes) for name, changes in DRAWS.get(process, {}).items()}
  own = Draw({})
  if row.draws is None:  # own is one of those that are there
    found = found or {'own': own}
  else:
    found['own'] = own
  if process != 'gaussian':
    found['cut'] = Draw(_CUT)
  if classes:
    found['guided'] = Draw(_GUIDED)
  found['given'] = Draw({}, given=True)
  if row.draws is None:
    return found
  found['stop'] = Draw({}, given=True, stop=True)
  return {name: found[name] for name in row.draws}


def given_tokens(tokens, stop, facts):
  """(mask [NUM, N] of what is given, blocks that take no step, symbol to stop at or None) for
  tokens [NUM, N, ..] in block order.

  Every other example has a prompt, the others have holes anywhere. stop: all have prompts of a
  block and more, and the walk may end at the commonest symbol.
  """
  num_tokens, first, several = sum(facts.sizes), facts.sizes[0], len(facts.sizes) > 1
  least = first if several and stop else 1
  length = least + np.arange(NUM) % max(num_tokens - least, 1)
  mask = np.arange(num_tokens)[None] < length[:, None]
  if stop:
    return mask, int(several and facts.sequential), int(np.argmax(np.bincount(tokens.ravel())))
  mask[1::2] = np.random.default_rng(0).random((NUM, num_tokens))[1::2] < 0.5
  return mask, 0, None
