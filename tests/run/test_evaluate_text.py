"""A text run from training to report, and what the report's numbers are."""

import json

import numpy as np
import pytest

from adiff.run import build, handle, overrides, train
from adiff.run import workdir as workdir_lib
from configs import base
from configs import text as text_config

# The notebook 03_text takes the same route in every run of the gate.
pytestmark = pytest.mark.soak
TEXT = 'the cat sat on the mat. the dog sat on the log. ' * 60


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """The workdir of a few steps of a network that learns blocks of 4 and of 1, packed."""
  folder = tmp_path_factory.mktemp('text_run')
  (folder / 'corpus').mkdir()
  for index in range(12):
    (folder / 'corpus' / f'{index}.txt').write_text(TEXT[index:40 + 10 * index])
  c = text_config.get_config('block4')
  with c.unlocked():
    c.data.path, c.data.num_tokens, c.data.packed = str(folder / 'corpus'), 64, True
    base.choose(c, 'codec', 'characters')
    c.model.width, c.model.depth, c.model.heads = 16, 1, 2
    c.train.steps, c.train.batch_size, c.train.log_every = 6, 16, 2
    c.train.eval_every = c.train.checkpoint_every = 3
    c.train.block_sizes, c.train.random_length, c.optim.warmup = (1,), 0.2, 2
    c.eval.examples, c.eval.num, c.eval.samples, c.eval.batch_size = 0, 4, 2, 4
    c.eval.samplers = ('threshold(threshold=0.5)', 'scheduled(choose=random)@2')
  workdir = folder / 'run'
  assert train.train(c.lock(), str(workdir), progress=False) == 0
  return workdir


def test_the_report_holds_the_numbers_of_the_text_and_of_each_sampler(run):
  report = json.loads((run / 'eval.json').read_text())
  text = report['numbers']
  assert text['calls_per_token'] == 1.0  # first_hitting, one token a call
  sections = {one['title']: one['parts'] for one in report['sections']}
  corpus = sections['Text'][0]['facts'][0]['value']
  assert corpus.startswith('12 files') or 'run' not in corpus
  np.testing.assert_allclose(text['perplexity'], np.exp(text['nats_per_token']))
  rows = sections['Samplers'][0]['groups'][0]['rows']
  names = [row['name'] for row in rows]
  assert names == ['first_hitting', 'threshold(threshold=0.5)', 'scheduled(choose=random)']
  assert rows[2]['calls_per_token'] == 0.5  # 2 calls for 4 tokens
  assert report['profile'] is None  # of packed rows
  page = (run / 'report.html').read_text()
  assert 'Which token was revealed when' in page and 'first_hitting' in page
  assert (run / 'pictures' / 'calls.png').exists()


def test_losses_of_all_block_sizes_are_logged(run):
  rows = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
  losses = [row for row in rows if 'loss' in row]
  assert losses and all({'loss_block4', 'loss_block1', 'next_token'} <= set(row) for row in losses)


def test_one_checkpoint_is_read_with_the_blocks_it_learnt(run):
  four, one = (handle.load(run, block_size=size) for size in (4, 1))
  assert four.parts.blocks.sizes == (4,) * 16 and one.parts.blocks.sizes == (1,) * 64
  assert one.loglikelihood('the', ' cat')['exact']
  with pytest.raises(ValueError, match='loss profile'):
    handle.load(run, solver='budget', steps=2)


def test_a_wrong_sampler_of_the_report_is_named(run):
  config = overrides.arrange(workdir_lib.load(run), run, solver='scheduled')
  assert build.build(config).solver.choose == 'random'
  with pytest.raises(ValueError, match='nonsense'):
    build.build(overrides.arrange(workdir_lib.load(run), run, solver='nonsense'))
