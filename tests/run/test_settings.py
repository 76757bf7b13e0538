"""What stands at a key: its type, its range, and the sentence for what is neither."""

import dataclasses
import functools
import importlib.util
import inspect
import math
import typing

import jax
import launchers
import ml_collections
import pytest
import tiny

from adiff.data import batches
from adiff.run import build, choose, dryrun, evaluate, generate, overrides, settings
from adiff.sequence import plan, values
from configs import base, digits, text, toy

ROWS = {
  'toy': toy.get_config, 'digits': digits.get_config,
  'gaussian': functools.partial(toy.get_config, 'block-gaussian'),
  'text': functools.partial(text.get_config, 'block16'),
}


def changed(row, **keys):
  """The config of a row with values of any type, `a__b` for the key a.b; with another name a choice
  takes its own defaults."""
  tree = ROWS[row]().to_dict()
  for key, value in keys.items():
    *sections, name = key.split('__')
    if name == 'name' and sections[0] in base.CHOICES:
      tree[sections[0]] = {'name': value, **base.CHOICES[sections[0]][value]}
      continue
    place = functools.reduce(lambda place, section: place[section], sections, tree)
    place[name] = value
  return ml_collections.ConfigDict(tree)


MEANINGLESS = (
  ('optim__learning_rate', math.nan), ('optim__learning_rate', math.inf), ('optim__eps', math.nan),
  ('optim__b1', 1.0), ('optim__b1', -0.1), ('optim__b2', math.nan), ('optim__eps', 0.0),
  ('optim__clip', math.nan), ('optim__clip', -1.0), ('optim__weight_decay', math.inf),
  ('optim__decay_fraction', math.inf), ('optim__final', math.nan), ('optim__warmup', 1.5),
  ('model__heads', 0), ('model__heads', -1), ('model__width', -64), ('model__depth', math.nan),
  ('model__rotary_base', 0.0), ('model__rotary_base', -100.0), ('model__rotary_base', math.nan),
  ('model__mlp_ratio', -4.0), ('model__depth', 2**31 - 1),
  ('model__mlp_ratio', 1e30), ('model__mlp_ratio', 1e-9), ('model__dropout', math.nan),
  ('model__reach', -1), ('model__sinks', True), ('model__shifted', 1), ('model__attention', []),
  ('draw__low', -0.5), ('draw__high', math.inf), ('draw__low', math.nan), ('draw__high', 0.0),
  ('plan__steps', 1e30), ('plan__steps', 10**30), ('plan__steps', 2**31 - 1), ('plan__first', None),
  ('plan__delay', 2.0), ('guidance__interval', (0.5,)), ('guidance__interval', (0.9, 0.1)),
  ('guidance__scale', math.nan), ('guidance__scale', '2'), ('atoms__zero', math.nan),
  ('truncation__temperature', math.nan), ('truncation__top_p', 0.0), ('truncation__top_k', 1.0),
  ('train__ema', math.nan), ('train__next_token', math.inf), ('train__random_length', math.nan),
  ('train__steps', 2**40), ('train__batch_size', True), ('train__block_sizes', [1]),
  ('train__offload', None), ('eval__steps', (2, 0)), ('eval__samplers', 'heun'),
  ('eval__features', 'no'), ('cond_dropout', math.nan), ('history', math.nan), ('seed', 2**32),
  ('seed', 0.0), ('name', 3), ('init_from', 'a\0b'), ('history_cond', 0), ('mesh__data', 0),
  ('mesh__fsdp', -2), ('data__size', math.inf), ('data__num_tokens', 2**31 - 1),
  ('data__size', 2**31 - 1), ('data__vocab', 2**20), ('data__seed', -1), ('data__sides', (-1, 2)),
  ('blocks__size', '2'), ('blocks__size', 0), ('head__least', -1), ('solver', 'heun'), ('train', 5),
  ('model', None), ('plan', []), ('solver__name', []), ('blocks__name', 7), ('judge', 1.0),
)
OTHERS = (  # (row, a choice that the row has not, its argument, a value)
  ('gaussian', 'process__clip', math.nan), ('gaussian', 'process__clip', -1.0),
  ('gaussian', 'process__gamma', 0.0), ('gaussian', 'process__log_snr', (-math.inf, 9.0)),
  ('gaussian', 'process__log_snr', (-10.0,)), ('gaussian', 'process__log_snr', (-1e4, 9.0)),
  ('gaussian', 'data__components', 2**20), ('digits', 'spacing__exponent', -1.0),
  ('digits', 'spacing__exponent', math.nan), ('digits', 'codec__patch', -1),
  ('digits', 'codec__discrete', 0), ('text', 'data__num_tokens', 2**30),
  ('text', 'data__path', '~x/y'), ('text', 'codec__size', 2**31 - 1), ('text', 'codec__json', 7),
)


@pytest.mark.parametrize('row, key, value', [
  *(('toy', *case) for case in MEANINGLESS), *OTHERS,
], ids=lambda value: value if isinstance(value, str) else type(value).__name__)
def test_what_means_nothing_is_refused_with_its_key(row, key, value):
  config = ROWS[row]().to_dict()
  *sections, name = key.split('__')
  functools.reduce(lambda place, section: place[section], sections, config)[name] = value
  with pytest.raises(ValueError) as told:
    build.build(ml_collections.ConfigDict(config))
  assert any(word in str(told.value) for word in (name, 'would take', 'too long')), told.value
  assert 20 < len(str(told.value)) < 400


@pytest.mark.parametrize('keys, words', [
  (dict(draw__name='logit_normal', draw__std=-1.0), 'draw.std'),
  (dict(draw__name='logit_normal', draw__mean=math.nan), 'draw.mean'),
  (dict(draw__name='clipped', draw__low=0.9), 'low < high'),
  (dict(spacing__name='reveals', spacing__counts=(1, 0)), 'spacing.counts'),
  (dict(spacing__name='power', spacing__exponent=0.0), 'spacing.exponent'),
  (dict(solver__name='entropy_bound', solver__bound=math.nan), 'solver.bound'),
  (dict(solver__name='threshold', solver__edit=math.nan), 'solver.edit'),
  (dict(blocks__name='scales', blocks__sides=(1, 10**6)), 'tokens is too long'),
  (dict(blocks__name='frames', blocks__grid=(2, 'x')), 'blocks.grid'),
  (dict(process__name='mixed', process__random=math.inf), 'process.random'),
], ids=str)
def test_another_choice_has_ranges_of_its_own(keys, words):
  with pytest.raises(ValueError, match=words):
    build.build(changed('toy', **keys))


LONG = (1,) * 300


@pytest.mark.parametrize('row, keys', [
  ('digits', dict(blocks__name='cells', blocks__cell=LONG)),
  ('digits', dict(codec__name='pyramid', codec__sides=LONG)),
  ('digits', dict(codec__name='pyramid', codec__sides=(*LONG, 8))),
  ('gaussian', dict(process__log_snr=LONG)), ('toy', dict(data__sides=LONG)),
  ('toy', dict(spacing__name='reveals', spacing__counts=(*LONG, 0))),
], ids=str)
def test_a_long_value_is_told_shortly(row, keys):
  with pytest.raises(ValueError) as told:
    build.build(changed(row, **keys))
  assert 20 < len(str(told.value)) < 400


def test_labels_that_were_never_hidden_cannot_guide():
  with pytest.raises(ValueError, match='guidance.scale=1.2 needs .* cond_dropout=0'):
    build.build(changed('digits', cond_dropout=0.0))
  build.build(changed('digits', cond_dropout=0.0, guidance__scale=1.0))


def test_keys_that_nobody_reads_are_refused():
  for keys, words in (
    (dict(train__stesp=3), 'config.train has no key .stesp.; it has steps'),
    (dict(optim__beta=0.9), 'config.optim has no key .beta.'), (dict(stesp=3), 'stesp'),
    (dict(model__wdith=3), "takes no 'wdith'"), (dict(mesh__pipeline=1), 'pipeline'),
  ):
    with pytest.raises(ValueError, match=words):
      build.build(changed('toy', **keys))


def numbers(annotation):
  """(annotation of a number, its rules) of all numbers in an annotation."""
  kinds = typing.get_args(annotation)
  if typing.get_origin(annotation) is typing.Annotated:
    if kinds[0] in (int, float):
      yield kinds
    else:
      yield from numbers(kinds[0])
  elif kinds:
    for kind in kinds:
      yield from numbers(kind)
  elif annotation in (int, float):
    yield (annotation,)


def declared():
  """{dotted key: annotation} of all keys that a config may have, whatever it chooses."""
  for section in settings.SECTIONS:
    for key, annotation in settings.keys(section).items():
      yield f'{section}.{key}', annotation
  for kind, room in choose.ROOMS.items():
    for name in base.CHOICES[kind]:
      taken = values.parameters(choose.find(kind, name))
      for argument in base.CHOICES[kind][name]:
        assert argument in taken and (argument not in room.provided or argument == 'grid')
        yield f'{kind}.{name}.{argument}', taken[argument].annotation


@pytest.mark.parametrize('key, annotation', [
  pytest.param(*case, id=case[0]) for case in declared()
])
def test_every_key_declares_its_type_and_every_number_its_range(key, annotation):
  assert annotation is not inspect.Parameter.empty, f'{key} has no type'
  for _, *rules in numbers(annotation):
    assert rules, f'{key} is a number without a range; take one of adiff/sequence/values.py'
  wrong = object()
  with pytest.raises(ValueError, match=key.replace('.', r'\.')):
    values.check(key, wrong, annotation)


def test_every_default_is_what_it_may_be():
  settings.check(base.get_config())
  for kind, rows in base.CHOICES.items():
    for name, arguments in rows.items():
      choose.check(kind, {'name': name, **arguments})


@pytest.mark.parametrize('written', [
  'entropy_bound(bound=nan)', 'entropy_bound(bound=NaN)', 'entropy_bound(bound=-Infinity)',
  'entropy_bound(bound=true)', 'threshold(threshold=1e999)', 'threshold(name=heun)',
  f'entropy_bound(bound={"9" * 5000})', f'entropy_bound(bound={"[" * 100_000})',
  'entropy_bound(bound=0.1, bound=0.2)', 'scheduled(choose=1)',
], ids=lambda value: value[:30])
def test_a_solver_in_words_is_checked_as_one_of_the_config(written):
  with pytest.raises(ValueError) as told:
    choose.resolve('solver', overrides.parse_solver(written))
  assert len(str(told.value)) < 300
  parts = tiny.regime('block-masked').parts
  parts = dataclasses.replace(parts, config=changed('toy', eval__samplers=(written,)))
  with pytest.raises(ValueError, match='config.eval.samplers'):
    evaluate.samplers(parts)


@pytest.mark.parametrize('steps', ['0', '9' * 5000, '-1', '1.5', '²'])
def test_a_sampler_of_the_report_has_a_number_of_steps(steps):
  parts = tiny.regime('block-masked').parts
  parts = dataclasses.replace(parts, config=changed('toy', eval__samplers=(f'heun@{steps}',)))
  with pytest.raises(ValueError, match='STEPS >= 1'):
    evaluate.samplers(parts)


@pytest.mark.parametrize('topology', [
  'v5e:0x0', 'v5e:0x4', 'cpu:0', 'cpu:100000000', 'v5e:99999x99999', f'v5e:{"9" * 5000}x1',
])
def test_a_topology_without_devices_or_of_too_many_is_refused(topology, monkeypatch):
  for found in (None, True):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, found=found: found)
    with pytest.raises(ValueError, match='--topology=.* has no device, or more than') as told:
      dryrun.devices_of(topology)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize('make', [
  lambda parts, batch: generate.to_folder(parts, None, 'out', batch=batch, seed=0, step=1),
  lambda parts, batch: generate.Sampler(parts, None, None, batch_size=batch),
], ids=['export', 'sample'])
@pytest.mark.parametrize('batch', [10**13, 2**62])
def test_a_batch_that_no_memory_holds_is_refused(make, batch):
  with pytest.raises(ValueError, match=f'a batch of {batch} samples would take .* GiB'):
    make(tiny.regime('block-masked').parts, batch)


@pytest.mark.parametrize('make', [batches.Batches, batches.once], ids=['train', 'eval'])
def test_a_batch_of_data_that_no_memory_holds_is_refused(make):
  coded = tiny.regime('block-masked').parts.coded
  with pytest.raises(ValueError, match='a batch of batch_size=2147483647 examples would take'):
    made = make(coded, 'train', 2**31 - 1, **({'seed': 0} if make is batches.Batches else {}))
    next(made)


def test_a_plan_that_no_memory_holds_is_refused_and_a_long_one_is_made():
  with pytest.raises(ValueError, match='a plan of 3000000 steps over 300 blocks would take'):
    plan.Plan(300, 10_000)
  assert plan.Plan(1000, 1000, delay=1).num_rows == 1999


FILES = {  # a config file, and what is said of it
  'divides': ('1 / 0', 'divides.py raises ZeroDivisionError: division by zero'),
  'asserts': ('assert False', 'asserts.py raises AssertionError'),
  'deep': ('get_config()', 'deep.py raises RecursionError'),
  'odd': ('raise type("Odd", (BaseException,), {})("odd")', 'odd.py raises Odd: odd'),
  'opens': ('open("/nowhere/at/all")', r'opens.py raises .*No such file.*nowhere'),
  'says': ('raise ValueError("one\\ntwo")', 'says.py raises ValueError: '),
  'stops': ('import sys; sys.exit(0)', 'stops.py ends the program'),
  'leaves': ('raise SystemExit("bye")', 'leaves.py ends the program'),
  'nothing': ('pass', 'nothing.py returns None, which is no ConfigDict'),
  'number': ('return 1', 'number.py returns 1, which is no ConfigDict'),
  'words': ('return {"a": 1}', 'words.py returns .*, which is no ConfigDict'),
}


@pytest.mark.parametrize('name', FILES)
def test_a_config_file_that_makes_no_config_is_told_with_its_name(name, tmp_path):
  body, words = FILES[name]
  (tmp_path / f'{name}.py').write_text(f'def get_config():\n  {body}\n')
  with pytest.raises(ValueError, match=words):
    with launchers.parsed([f'--config={tmp_path}/{name}.py', '--workdir=x']):
      pass


def test_jax_takes_the_largest_seed():
  """What is admitted works, to the last number."""
  assert jax.random.key_data(jax.random.key(2**32 - 1)).shape == (2,)
  settings.check(changed('toy', seed=2**32 - 1))
