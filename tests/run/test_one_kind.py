"""What tokens of several kinds do without is refused in a sentence that says what to write."""

import ml_collections
import numpy as np
import pytest

from adiff.run import build, choose, editing, evaluate, overrides
from configs import base, toy


def config():
  """Symbols and floats, each with steps of its own."""
  c = toy.get_config('joint')
  c.model.width, c.model.depth, c.model.heads, c.data.size = 16, 1, 2, 256
  c.eval.num = 2048
  return c


BAD = {
  'known tokens apart': ('model.apart', True, 'model.apart=True is for tokens of one kind'),
  'a shifted stream': ('model.shifted', True, 'model.shifted=True is for tokens of one kind'),
  'hints': ('model.hinted', 'beside', "model.hinted='beside' is for tokens of one kind"),
  'guidance that it is told': ('model.guided', 'scale', 'recipe plain teaches no guidance'),
  **{
    f'recipe {name}': ('recipe', {'name': name}, f"recipe.name='{name}' is for tokens of one kind")
    for name in choose.names('recipe') if name not in ('plain', 'autoencoder', 'adversarial')
  },
  **{
    f'recipe {name}': ('recipe', {'name': name}, f'recipe {name} trains a codec')
    for name in ('autoencoder', 'adversarial')
  },
  **{
    f'model {name}': ('model', {'name': name}, f"model.name='{name}' is for tokens of one kind")
    for name in choose.names('model') if name != 'denoiser'
  },
  'symbols of noise': ('kinds.symbols.solver', {'name': 'code_flow'}, 'CodeFlow makes symbols of'),
  'symbols of learnt noise': ('solver', {'name': 'decoded'}, 'Decoded makes symbols of masks'),
  'a path': ('kinds.floats.solver', {'name': 'trajectory'}, 'recipe.name=trajectory'),
  'unmasked floats': ('kinds.floats.solver', {'name': 'threshold'}, 'reveals masked tokens'),
  'a flow map of t alone': ('kinds.floats.solver', {'name': 'flow_map'}, "told='difference'"),
  'an ODE of symbols': ('kinds.symbols.solver', {'name': 'heun'}, 'follows an ODE'),
  'steps together': ('parallel.method', 'picard', 'tokens of one kind; set parallel.method=none'),
  'drafted steps': ('speculative.steps', 4, 'tokens of one kind; set speculative.steps=0'),
  'a draft': ('speculative.draft', 'runs/x', "masked of one kind of tokens.*speculative.draft=''"),
  'budgets by block': ('plan.budgets', (2,), 'plan.budgets=.* is for tokens of one kind'),
  'bits of three symbols': ('kinds.symbols.head', {'name': 'bits'}, r'2\^n symbols, .* 3 symbols'),
  'a mixture for floats': ('kinds.floats.head', {'name': 'logistics'}, 'laws of ordered symbols'),
  'vectors by a head': ('kinds.floats.head', {'name': 'diffusion'}, 'process masked_vectors'),
  'vectors of a block': (
    'kinds.floats', {
      'process': {'name': 'masked_vectors'}, 'solver': {'name': 'first_order'},
      'head': {'name': 'diffusion', 'together': 4, 'solver': 'first_order'},
      'blocks': {'name': 'equal', 'size': 2}, 'codec': {'name': 'none'}, 'steps': 1,
    }, 'together=4 is for tokens of one kind, and this run has .*; write head.together=0'
  ),
  'guidance towards nothing': ('guidance.scale', 2.0, 'kinds.NAME.dropout'),
  'moved pixels': ('train.flip', True, 'train.flip and crop move the pixels'),
  'codes made anew': ('train.requantise', 0.5, 'requantise=0.5 is for tokens of one kind'),
  'complements': ('train.complementary', True, 'complementary=True is for tokens of one kind'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_for_one_kind_is_refused_in_a_sentence(name):
  key, value, words = BAD[name]
  tree = config().to_dict()
  *sections, last = key.split('.')
  place = tree
  for section in sections:
    place = place[section]
  place[last] = value
  with pytest.raises(ValueError, match=words) as error:
    build.build(ml_collections.ConfigDict(tree))
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('changes, words', [
  ({'orders': 4}, 'orders=4 .* of one kind of tokens'), ({'ode': 4}, 'write eval.ode=0'),
  ({'inception': 'x'}, "write eval.inception=''"), ({'samplers': ('budget@4',)}, 'budget needs'),
  ({'samplers': ('first_order@4',)}, 'steps=4 would change nothing'),
  ({'samplers': ('first_order',)}, r'measured by another judge .* eval.samplers=\(\)'),
  ({'structure': True}, 'measured by another judge .* write eval.structure=False'),
])
def test_what_is_measured_of_one_kind_alone_is_refused_in_a_sentence(changes, words):
  c = config()
  c.eval.update(changes)
  parts = build.build(c)
  with pytest.raises(ValueError, match=words):
    evaluate.check(parts)
    evaluate.samplers(parts)


@pytest.mark.parametrize('how, words', [
  (dict(block_size=2), 'for tokens of one kind, and this run has floats, symbols'),
  (dict(solver='budget'), 'for tokens of one kind, and this run has floats, symbols'),
  (dict(steps=3), 'steps=3 would change nothing.*--set=kinds.NAME.steps=N'),
])
def test_what_would_change_no_kind_is_refused(how, words):
  with pytest.raises(ValueError, match=words):
    overrides.arrange(config(), '', **how)
  c = config().unlock()
  assert overrides.arrange(c, '', solver='first_hitting').solver.name == 'first_hitting'
  base.of_kind(c, 'symbols', solver='first_order')
  with pytest.raises(ValueError, match='solver=first_hitting would change nothing'):
    overrides.arrange(c, '', solver='first_hitting')


def test_laws_of_symbols_are_cut_beside_floats_and_examples_of_parts_are_not_edited():
  c = config()
  c.truncation.temperature = 0.5
  parts = build.build(c)
  example = {'symbols': np.zeros(4, int), 'floats': np.zeros((2, 1))}
  with pytest.raises(ValueError, match='symbols, floats are edited by what is given'):
    editing.opened(parts, np.asarray(example)[None], np.ones(1, bool))


def test_orders_of_kinds_are_refused_where_there_is_one():
  c = toy.get_config('block-masked').unlock()
  c.train.orders = (('symbols', 'floats'),)
  with pytest.raises(ValueError, match='orders=.* are of several kinds of tokens'):
    build.build(c.lock())
