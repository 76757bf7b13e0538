"""How good checkpoints are: which one is kept, and what a file that is none costs."""

import json
import pathlib
import types

import pytest

from adiff.machine import files, manifest, measured


@pytest.fixture
def workdir(tmp_path):
  """A workdir with the folders of three checkpoints."""
  for step in (1, 2, 3):
    (tmp_path / 'checkpoints' / str(step)).mkdir(parents=True)
  return tmp_path


def kept(known, *steps):
  """The steps of which a policy says that they stay."""
  stays = known.should_preserve([types.SimpleNamespace(step=step) for step in steps], context=None)
  return [step for step, stay in zip(steps, stays, strict=True) if stay]


@pytest.mark.parametrize('mode, values, best', [
  ('min', (2.0, 1.0, 3.0), [2]), ('max', (2.0, 1.0, 3.0), [3]), ('min', (0.0, 1.0, 2.0), [1]),
  ('min', (float('nan'), 5.0, float('inf')), [2]), ('min', (float('nan'),) * 3, []),
])
def test_the_best_is_kept_over_a_restart(workdir, mode, values, best):
  known = measured.Measured(workdir, 'nats', mode)
  for step, value in zip((1, 2, 3), values, strict=True):
    known.add(step, {'nats': value})
  again = measured.Measured(workdir, 'nats', mode)
  assert kept(known, 1, 2, 3) == kept(again, 1, 2, 3) == best
  json.loads(pathlib.Path(measured.path(workdir)).read_text(), parse_constant=pytest.fail)


def test_a_checkpoint_that_is_not_measured_yet_is_not_the_best(workdir):
  known = measured.Measured(workdir, 'nats')
  assert kept(known, 1, 2, 3) == [] and 2 not in known
  known.add(2, {'nats': 9.0})
  assert kept(known, 1, 2, 3) == [2] and 2 in known
  known.forget(2)
  assert kept(known, 1, 2, 3) == [] and 2 not in measured.Measured(workdir, 'nats')


def test_what_is_no_longer_there_is_forgotten(workdir):
  known = measured.Measured(workdir, 'nats')
  known.add(1, {'nats': 1.0})
  (workdir / 'checkpoints' / '1').rmdir()
  known.add(3, {'nats': 2.0})
  assert list(json.loads(pathlib.Path(measured.path(workdir)).read_text())) == ['3']


@pytest.mark.parametrize('text', ['', '{', '[1]', '{"one": {}}', '{"1": 3}', 'null'])
def test_a_file_that_was_not_written_so_is_named(workdir, text):
  with files.whole(measured.path(workdir)) as file:
    file.write(text)
  with pytest.raises(ValueError, match='measured.json.*delete it'):
    measured.Measured(workdir, 'nats')
  assert manifest.steps(workdir) == (1, 2, 3)
