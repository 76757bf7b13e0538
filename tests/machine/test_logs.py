"""The log of a run: what is written, what a restart keeps."""

import contextlib
import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from adiff.machine import logs


def open_logs(workdir, start_step=0, **arguments):
  arguments = dict(total_steps=10, tokens_per_step=64, progress=False) | arguments
  return contextlib.closing(logs.Logs(workdir, start_step=start_step, **arguments))


def metrics_file(workdir):
  return pathlib.Path(workdir, logs.FILE)


def test_a_line_holds_the_step_and_all_values(tmp_path):
  with open_logs(tmp_path) as log:
    log.write(1, {'loss': jnp.float32(0.5), 'per_block': np.array([1.0, 2.0]), 'count': 3})
    (line,) = logs.read(tmp_path)  # Flushed: a kill loses nothing.
  assert line | {'step': 1, 'loss': 0.5, 'per_block': [1.0, 2.0], 'count': 3} == line


def test_everything_that_depends_on_the_clock_has_its_own_prefix(tmp_path):
  with open_logs(tmp_path, flops_per_step=1e9, peak_flops=1e12) as log:
    log.write(2, {'loss': 1.0})
  (line,) = logs.read(tmp_path)
  timing = {'time/ms', 'time/tokens_per_s', 'time/utilisation', 'time/at'}
  assert set(line) == {'step', 'loss'} | timing
  seconds = line['time/ms'] / 1000
  assert line['time/tokens_per_s'] == pytest.approx(64 / seconds)
  assert line['time/utilisation'] == pytest.approx(1e9 / seconds / 1e12)


def test_a_restart_drops_later_lines_and_a_torn_one(tmp_path):
  with open_logs(tmp_path) as log:
    for step in (1, 2, 3):
      log.write(step, {'loss': float(step)})
  with metrics_file(tmp_path).open('a') as file:
    file.write('{"step": 4, "lo')
  assert [line['step'] for line in logs.read(tmp_path)] == [1, 2, 3]
  with open_logs(tmp_path, start_step=2) as log:
    assert [line['step'] for line in logs.read(tmp_path)] == [1, 2]
    log.write(3, {'loss': 30.0})
  assert [line['loss'] for line in logs.read(tmp_path)] == [1.0, 2.0, 30.0]


def test_a_number_that_is_not_finite_is_still_valid_json(tmp_path):
  with open_logs(tmp_path) as log:
    log.write(1, {'loss': float('nan'), 'per_block': np.array([1.0, np.inf])})

  def refuse(name):
    raise AssertionError(f'{name} is not JSON')

  line = json.loads(metrics_file(tmp_path).read_text(), parse_constant=refuse)
  assert line['loss'] is None and line['per_block'] == [1.0, None]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
  metrics_file(tmp_path).write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
  with pytest.raises(ValueError, match='line 2 of .* is not JSON'):
    logs.read(tmp_path)


@pytest.mark.parametrize(('line', 'words'), [
  ('[1]', 'a list where a dictionary'), ('{"loss": 1.0}', 'has no step'),
  ('{"step": "2"}', '"2" as step'), ('{"step": -1}', 'there is no step -1'),
  ('{"step": 1e999}', 'not JSON'), ('{"step": 2, "loss": "low"}', 'loss is neither'),
  ('{"step": 2, "loss": {}}', 'loss is neither'), ('{"step": 2, "loss": [1.0]}', 'another length'),
  ('{"step": 2, "per_block": [1.0]}', 'another length'), ('{"step": 2, "x": [[1], 2]}', 'neither'),
  ('{"step": 2, "loss": NaN}', 'NaN'), ('{"step": 2, "step": 3}', 'twice'), ('\x00', 'not JSON'),
  ('{"x": ' + '[' * 10_000, 'not JSON'), ('{"step": 4294967296}', 'no step'),
])
def test_a_line_of_another_form_is_named_and_nothing_is_lost(tmp_path, line, words):
  text = f'{{"step": 1, "loss": 2.0, "per_block": [1.0, null]}}\n{line}\n{{"step": 3}}\n'
  metrics_file(tmp_path).write_text(text)
  for read in (lambda: logs.read(tmp_path), lambda: open_logs(tmp_path, start_step=3)):
    with pytest.raises(ValueError, match=rf'line 2 of .*metrics\.jsonl.*{words}.*delete that line'):
      read()
  assert metrics_file(tmp_path).read_text() == text


def test_of_a_log_too_long_for_memory_lines_are_kept_evenly(tmp_path, monkeypatch):
  with open_logs(tmp_path) as log:
    for step in range(1, 31):
      log.write(step, {'loss': float(step)})
  monkeypatch.setattr(logs, 'READ_BYTES', metrics_file(tmp_path).stat().st_size / 2.5)
  assert [line['step'] for line in logs.read(tmp_path)] == list(range(1, 31, 3))
  with open_logs(tmp_path, start_step=30):
    assert metrics_file(tmp_path).read_text().count('\n') == 30


def test_a_missing_log_is_told_in_a_sentence(tmp_path):
  with pytest.raises(FileNotFoundError, match='train first'):
    logs.read(tmp_path)


def test_a_workdir_that_cannot_be_written_is_told_in_a_sentence(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError, match='metrics cannot be written'):
    logs.Logs(tmp_path / 'file', total_steps=1, tokens_per_step=1)


def test_the_board_receives_scalars_and_pictures(tmp_path):
  with open_logs(tmp_path) as log:
    log.write(1, {'a_scalar': 1.0, 'an_array': np.ones(2)})
    log.images(1, 'a_picture', np.zeros((4, 4), np.uint8))
  (events,) = (tmp_path / 'tensorboard').iterdir()
  written = events.read_bytes()
  for tag in (b'a_scalar', b'an_array/0', b'an_array/1', b'a_picture'):
    assert tag in written


@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 1), (5, 7, 3)])
def test_a_picture_is_a_png_with_the_same_pixels(tmp_path, shape):
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  with open_logs(tmp_path) as log:
    path = log.images(3, 'samples', image)
  assert path == str(tmp_path / 'pictures' / 'samples_00000003.png')
  np.testing.assert_array_equal(np.asarray(Image.open(path)), image.squeeze())


@pytest.mark.parametrize('image', [np.zeros((4, 4)), np.zeros((2, 4, 4, 3), np.uint8)])
def test_what_is_not_a_picture_is_told_in_a_sentence(tmp_path, image):
  with open_logs(tmp_path) as log, pytest.raises(ValueError, match='use uint8'):
    log.images(1, 'samples', image)


def test_the_bar_shows_loss_speed_and_utilisation(tmp_path, capsys):
  with open_logs(tmp_path, progress=True, flops_per_step=1e9, peak_flops=1e12) as log:
    log._ticked -= 1.0  # As if a second had passed.
    log.tick(5, jnp.float32(0.25))
  shown = capsys.readouterr().err
  for text in ('5/10', 'loss 0.25', ' ms', 'tok/s', '% MFU'):
    assert text in shown


def test_ticks_that_follow_closely_do_not_wait_for_the_loss(tmp_path):
  class Loss:
    def __float__(self):
      raise AssertionError('the device was waited for')

  with open_logs(tmp_path, progress=True) as log:
    log.tick(1, Loss())


def test_silent_logs_take_every_call_and_leave_no_trace(tmp_path, capsys):
  calls = dict(
    tick=(5, jnp.float32(0.25)), write=(1, {'loss': 1.0}), pause=(), keep=(), close=(),
    images=(1, 'samples', np.zeros((4, 4), np.uint8)),
  )
  log = logs.Logs(tmp_path / 'nowhere', total_steps=10, tokens_per_step=64, silent=True)
  assert calls.keys() == {name for name in dir(log) if not name.startswith('_')}
  for name, arguments in calls.items():
    assert getattr(log, name)(*arguments) is None
  assert list(tmp_path.iterdir()) == [] and capsys.readouterr().err == ''
