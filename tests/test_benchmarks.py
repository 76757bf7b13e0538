"""The benchmarks run, at sizes that say nothing; their numbers are made elsewhere."""

import argparse
import json
import os
import subprocess
import sys

import jax
import launchers
import numpy as np
import pytest

from adiff.run import build, claimed, generate
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import mask
from benchmarks import attention, counted, gpu, images, parts, run, sample, tpu, train, turns

OPTIONS = argparse.Namespace(rounds=2, width=64, tokens=64, lengths=(64,), dtype='float32')


class Known(turns.Limits):
  """A machine whose limits do not depend on what else it does."""

  def look(self, rate=0.0):
    self.rate = self.bandwidth = 1e11


def test_candidates_take_turns_and_are_summed_up_by_quartiles():
  called = []
  times = turns.take_turns({name: lambda n=name: called.append(n) for name in 'ab'}, rounds=3)
  assert called == list('ab' + 3 * 'ab')
  assert {name: len(one) for name, one in times.items()} == {'a': 3, 'b': 3}
  assert turns.summary([0.001, 0.002, 0.003, 0.004, 0.005]) == {
    'ms': pytest.approx(3), 'spread': pytest.approx(2)}


def test_a_ratio_is_that_of_neighbours_in_time_and_limits_are_the_best_ever_seen(monkeypatch):
  assert turns.ratio([2, 20, 3], [1, 10, 1]) == 2  # the whole machine was slow in the second round
  seen, limits = iter([5.0, 7.0, 6.0]), turns.Limits()
  monkeypatch.setattr(turns.rates, 'matmul_rate', lambda **how: next(seen))
  monkeypatch.setattr(turns.rates, 'bandwidth', lambda: 1.0)
  limits.look()
  limits.look()
  limits.look(6.5)
  assert (limits.rate, limits.bandwidth) == (7.0, 1.0)


def test_rows_become_a_table_and_a_picture_with_a_bar_each():
  rows = [{'what': 'one', 'ms': 1.5, 'spread': 0.1}, {'what': 'two', 'ms': 12.0, 'spread': 0.2,
                                                        'audit': 'failed'}]
  assert run.table(rows)[2:] == ['| one | 1.5 | 0.1 |  |', '| two | 12 | 0.2 | failed |']
  axes, = run.picture([*rows, rows[0]]).axes
  bars = axes.patches
  assert [bar.get_width() for bar in bars] == [1.5, 12, 1.5]
  assert len({bar.get_y() for bar in bars}) == 3


@pytest.mark.soak
def test_attention_is_measured_against_dense_and_its_best_chunks():
  rows = list(attention.suite(OPTIONS, Known()))
  assert {row['attention'] for row in rows} == {'ours', 'dense', 'jax.nn, dense'}
  assert [row['blocks'] for row in rows if row['attention'] == 'ours'] == [1, 4, 16, 64]
  assert all(row['over ours'] == 1 for row in rows if row['attention'] == 'ours')


@pytest.mark.soak
def test_training_steps_are_audited(monkeypatch):
  monkeypatch.setattr(train, 'CASES', ((1, 1, 16, 2, (1, 4), 1),))
  one, four = train.suite(OPTIONS, Known())
  assert one['over one block'] == one['model'] == 1 and one['audit'] == 'passed'
  assert four['model'] > 1 and four['GFLOP'] > one['GFLOP']


@pytest.mark.soak
def test_rollouts_are_audited_and_compared_with_one_another(monkeypatch):
  monkeypatch.setattr(sample, 'DEPTH', 1)
  monkeypatch.setattr(sample, 'RING', (4, (8, 16)))
  rows = {row['rollout']: row for row in sample.suite(OPTIONS, Known())}
  assert rows['blocks']['model'] > 2  # recomputation does eight times the tokens
  assert rows['blocks, 4 samples']['cache MiB'] == 4 * rows['blocks']['cache MiB']
  assert rows['blocks, guided']['cache MiB'] == rows['blocks']['cache MiB'] > 0
  ring = [row for name, row in rows.items() if 'reach' in name]
  assert ring[0]['cache MiB'] == ring[1]['cache MiB']
  assert np.isfinite([row['ms'] for row in rows.values()]).all()


@pytest.mark.soak
def test_all_candidates_for_attention_compute_the_same():
  slots = blocks_lib.equal(64, 16).slots(np.zeros((64, 1)))
  q, k, v, towards = jax.random.normal(jax.random.key(0), (4, 2, slots.block.size, 2, 8))
  candidates = attention.dense, attention.by_jax, attention.ours(slots), attention.chunked(48)
  wanted, *others = (
    attention.both_passes(f)(q, k, v, mask.attend(slots, slots), towards) for f in candidates
  )
  for other in others:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), other, wanted)


# ---- Counts --------------------------------------------------------------------------------------


def test_lines_of_code_are_those_without_blanks_comments_and_docstrings():
  text = (
    '"""Says.\n\nMore."""\n\n# why\nA = (\n  1,\n)  # one\n\n'
    'def f():\n  """Does."""\n  return 2\n'
  )
  assert counted.code_lines(text) == 5


def test_what_is_counted_is_a_record_that_claims_read(tmp_path):
  counted.write(('lines', 'edits'), tmp_path)
  found = claimed.records(tmp_path)
  assert set(found) == {'lines', 'edits'}
  assert found['edits'].row(family='one block')['scattered'] == 1
  ar = found['edits'].row(family='AR')
  assert [ar[name] for name in ('next', 'previous', 'hole', 'scattered')] == [1, 0, 0, 0]
  assert all(row['lines'] > 20 for row in found['lines'].rows)


@pytest.mark.soak
def test_probabilities_of_ar_sum_to_one_and_those_of_a_bound_to_less():
  ar, whole = counted.laws(vocab=2, tokens=3, many=256)
  assert ar['sum'] == pytest.approx(1, abs=1e-5) and ar['bound'] == pytest.approx(ar['own'])
  assert whole['sum'] < 0.999 and whole['bound'] > whole['own']
  assert whole['own sum'] == pytest.approx(1, abs=0.02)


# ---- benchmarks/gpu.sh ---------------------------------------------------------------------------


def test_what_a_gpu_was_asked_is_on_the_page_after_every_part_also_if_it_was_cut_off(tmp_path):
  page = parts.Page(tmp_path, 'gpu', 'One GPU', {'hardware': 'a device'})
  status, output, seconds = parts.child(
    ['-c', 'import time; print("begun", flush=True); time.sleep(60)'], 1)
  assert status is None and output == 'begun' and seconds < 10
  page.add('Slow', seconds=seconds, status=status, lines=parts.told(status, output))
  assert 'cut off' in (tmp_path / 'gpu.md').read_text()
  status, output, _ = parts.child(['-c', 'raise SystemExit(3)'], 10)
  page.add('Broken', seconds=1.0, status=status, lines=parts.told(status, output))
  told = json.loads((tmp_path / 'gpu.json').read_text())['parts']
  assert [part['status'] for part in told] == [None, 3]
  assert 'ended with status 3' in (tmp_path / 'gpu.md').read_text()


def test_rows_of_a_suite_that_was_cut_off_are_on_the_page(tmp_path, monkeypatch):
  facts = {'matmul GFLOP/s': 1.0, 'bandwidth GB/s': 2.0, 'rows': [{'blocks': 4, 'ms': 1.5}]}
  (tmp_path / 'train.json').write_text(json.dumps(facts))
  monkeypatch.setattr(parts, 'child', lambda words, seconds: (None, '', 5.0))
  page = parts.Page(tmp_path, 'gpu', 'One GPU', {})
  gpu.suite(page, 'train', 5, toy=True, work=tmp_path)
  told = (tmp_path / 'gpu.md').read_text()
  assert 'cut off' in told and '| 4 | 1.5 |' in told


def test_blocks_and_one_block_make_as_many_calls_and_differ_in_nothing_else(tmp_path):
  gpu.made_up(tmp_path, 20)
  data = {'folder': str(tmp_path), 'real': False}
  (_, blocks), (_, whole) = (gpu.training(data, blocks=kind, toy=False) for kind in (True, False))
  assert whole.plan.steps == 4 * blocks.plan.steps
  differing = {
    key for key in blocks if key not in whole or blocks[key] != whole[key]
  }
  assert differing == {'blocks', 'plan', 'eval'}


@pytest.mark.soak
def test_the_whole_script_for_a_gpu_runs_on_a_cpu_at_sizes_that_say_nothing(tmp_path):
  environment = dict(
    os.environ, ADIFF_PYTHON=sys.executable, ADIFF_GPU_ARGUMENTS='--toy --seconds=3000')
  subprocess.run(
    [f'{parts.ROOT}/benchmarks/gpu.sh', '', '', str(tmp_path)], env=environment, check=False)
  told = json.loads((tmp_path / 'gpu.json').read_text())['parts']
  assert len(told) == 8 and all(part['status'] is not None for part in told)


# ---- benchmarks/tpu.sh ---------------------------------------------------------------------------


@pytest.mark.parametrize('name', tpu.ROWS)
def test_what_is_measured_is_what_the_roofline_is_of(name):
  for toy in (False, True):
    flags, config = tpu.asked(name, toy=toy)
    with launchers.parsed([*flags, '--workdir=x']) as found:
      assert found.config.to_json() == config.to_json()


@pytest.mark.soak
def test_the_script_for_tpus_runs_on_a_cpu_at_sizes_that_say_nothing(tmp_path):
  subprocess.run(
    [f'{parts.ROOT}/benchmarks/tpu.sh', '--toy', f'--folder={tmp_path}'],
    env=dict(os.environ, ADIFF_PYTHON=sys.executable), check=True,
  )
  device, *rows = json.loads((tmp_path / 'tpu.json').read_text())['parts']
  assert device['status'] == 0 and [row['title'] for row in rows] == list(tpu.ROWS)
  for row in rows:
    assert row['row']['tokens/s'] > 0 and 0 < row['row']['of the roofline'] < 1.5


# ---- benchmarks/images.py ------------------------------------------------------------------------


@pytest.mark.parametrize('make', [images.unet, images.codes, images.vectors, images.few_calls])
def test_samplers_of_images_are_counted_without_a_bound(make):
  config = make(128, 1)
  if make is not images.unet:
    config.model.depth = 1
  found = generate.rollout(build.build(config), 1)
  assert found.said is None
  assert found.evaluations == (8 if make in (images.unet, images.few_calls) else images.TOKENS)
