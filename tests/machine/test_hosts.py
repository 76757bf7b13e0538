"""Several processes train as one does: the same batches, checkpoints that any number can read; and
they share samples, byte for byte as one makes them."""

import os
import pathlib
import random
import shutil
import socket
import time

import binary
import jax
import numpy as np
import pytest

from adiff.machine import checkpoint, hosts, logs, sharding
from adiff.run import build, encode, kept, shards
from adiff.run import workdir as workdir_lib
from configs import digits
from launch import runs

STEPS = 40
SHORT = (*binary.TINY, f'--config.train.steps={STEPS}', '--config.train.checkpoint_every=10',
         '--config.train.eval_every=0')


def launch(workdir, count, log, more=(), bucket=''):
  """Starts `count` processes that train on four devices; returns them. bucket: as binary.start."""
  command = (*SHORT, f'--workdir={workdir}', *more)
  return start([command] * count, log, devices=4 // count, bucket=bucket)


def start(commands, log, *, devices, bucket=''):
  """Starts the processes of one job, a command each."""
  with socket.socket() as listener:  # a free port, for the first process to listen at
    listener.bind(('localhost', 0))
    port, count = listener.getsockname()[1], len(commands)
  which = lambda i: (f'--processes={i}/{count}@localhost:{port}',) if count > 1 else ()
  return [
    binary.start((*command, *which(i)), f'{log}.{i}', devices=devices, bucket=bucket)
    for i, command in enumerate(commands)
  ]


def finish(running, log, code=0):
  """Waits for all; what they said."""
  codes = [one.wait(timeout=150) for one in running]
  said = [pathlib.Path(f'{log}.{i}.err').read_text()[-2000:] for i in range(len(running))]
  assert codes == [code] * len(running), said


def saved(workdir, running):
  """Returns once the first checkpoint is there."""
  while (checkpoint.latest_step(workdir) or 0) < 10:
    assert all(one.poll() is None for one in running)
    time.sleep(0.02)


def losses(workdir):
  return {row['step']: row['loss'] for row in logs.read(workdir) if 'loss' in row}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp('processes')


@pytest.fixture(scope='module')
def whole(folder):
  """A run of two processes that nobody disturbed."""
  finish(launch(folder / 'whole', 2, folder / 'whole_log'), folder / 'whole_log')
  return folder / 'whole'


def test_two_processes_train_as_one_does_and_one_of_them_writes(folder, whole):
  finish(launch(folder / 'alone', 1, folder / 'alone_log'), folder / 'alone_log')
  ours, alone = losses(whole), losses(folder / 'alone')
  assert list(ours) == list(alone) == list(range(5, STEPS + 1, 5))
  np.testing.assert_allclose(list(ours.values()), list(alone.values()), atol=1e-3)
  bounds = lambda workdir: [row['test/nats'] for row in logs.read(workdir) if 'test/nats' in row]
  np.testing.assert_allclose(bounds(whole), bounds(folder / 'alone'), atol=1e-3)
  assert (whole / 'report.html').exists()
  assert 'bound' not in (folder / 'whole_log.1.out').read_text()


@pytest.mark.soak
def test_two_processes_on_a_bucket_are_killed_and_end_as_those_on_a_disk(folder, whole, cloud):
  workdir, log = 'gs://runs/pod', folder / 'pod_log'
  running = launch(workdir, 2, log, bucket=cloud.url)
  saved(workdir, running)
  running[1].kill()
  assert [one.wait(timeout=90) for one in running] == [hosts.UNFINISHED, -9]
  finish(launch(workdir, 2, log, bucket=cloud.url), log)
  assert runs.differences(workdir, whole) == []


@pytest.mark.soak
def test_a_process_that_dies_stops_the_others_and_a_relaunch_loses_nothing(folder, whole):
  workdir, log = folder / 'killed', folder / 'killed_log'
  running = launch(workdir, 2, log)
  saved(workdir, running)
  running[1].kill()
  begun = time.monotonic()
  assert running[0].wait(timeout=60) == 75
  assert time.monotonic() - begun < 60
  said = pathlib.Path(f'{log}.0.err').read_text().splitlines()[-1]
  assert said.startswith('adiff: ') and 'another task died; run all of them again' in said
  finish(launch(workdir, 2, log), log)
  ours, theirs = (checkpoint.restore_params(place)[1] for place in (workdir, whole))
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)
  timeless = lambda rows: [
    {name: value for name, value in row.items() if not name.startswith('time/')} for row in rows
  ]
  assert timeless(logs.read(workdir)) == timeless(logs.read(whole))


@pytest.mark.parametrize('index', [0, 1])
def test_one_that_waits_in_vain_says_so_and_ends(folder, index):
  log = folder / f'vain_log{index}'
  with socket.socket() as free:
    free.bind(('localhost', 0))
    port = free.getsockname()[1]
  words = [f'--processes={index}/2@localhost:{port}', '--gather=1', f'--workdir={folder}/vain']
  running = binary.start([*binary.TINY, *words], log)
  assert running.wait(timeout=40) == 1
  said = pathlib.Path(f'{log}.err').read_text()
  assert said.count('adiff: after --gather=1 seconds not all processes are there') == 1
  assert 'stack trace' not in said and not (folder / 'vain').exists()


@pytest.mark.soak
def test_one_that_dies_before_it_has_joined_is_waited_for_no_longer_than_told(folder):
  running = launch(folder / 'few', 2, folder / 'few_log', ['--gather=3'])
  running[1].kill()
  begun = time.monotonic()
  assert running[0].wait(timeout=60) not in (0, None)
  assert time.monotonic() - begun < 60 and not (folder / 'few').exists()


@pytest.mark.soak
def test_survivors_of_a_run_that_saved_nothing_are_not_run_again(folder):
  log = folder / 'early_log'
  running = launch(folder / 'early', 2, log, ['--config.train.checkpoint_every=100000',
                                              '--config.train.steps=100000'])
  metrics = folder / 'early' / logs.FILE
  while not metrics.exists() or not metrics.read_text():
    assert all(one.poll() is None for one in running)
    time.sleep(0.02)
  running[0].kill()
  assert running[1].wait(timeout=60) == 1
  assert 'look for the cause' in pathlib.Path(f'{log}.1.err').read_text()


def test_a_signal_to_one_process_saves_and_stops_all_and_one_process_goes_on(folder, whole):
  workdir, log = folder / 'stopped', folder / 'stopped_log'
  running = launch(workdir, 2, log)
  saved(workdir, running)
  running[1].process.terminate()
  finish(running, log, code=75)
  assert 10 < checkpoint.latest_step(workdir) < STEPS
  finish(launch(workdir, 1, log), log)
  assert checkpoint.latest_step(workdir) == STEPS
  theirs = losses(whole)
  for step, loss in losses(workdir).items():
    np.testing.assert_allclose(loss, theirs[step], atol=1e-3)


def test_a_mistake_in_the_flag_and_a_foreign_workdir_are_told_by_all(folder, whole):
  with pytest.raises(ValueError, match='INDEX below COUNT'):
    hosts.start('4/4@localhost:1')
  finish(launch(whole, 2, folder / 'x', ['--config.seed=5']), folder / 'x', code=2)
  for index in range(2):
    assert 'seed is 0 there and 5 here' in (folder / f'x.{index}.err').read_text()


NUM = 1000


@pytest.fixture(scope='module')
def drawn(folder, whole):
  """(samples that one host has made on two devices, the shards that it made them of)."""
  parts = build.build(workdir_lib.load(whole))
  mesh = sharding.make_mesh(devices=jax.devices()[:2])
  params = jax.device_put(checkpoint.restore_params(whole)[1], sharding.replicated(mesh))
  one, kept, end = folder / 'one.npz', folder / 'kept', shards._end

  def keep(job, out):
    shutil.copytree(job.folder, kept)
    end(job, out)

  with pytest.MonkeyPatch.context() as patched:
    patched.setattr(shards, '_end', keep)
    shards.to_file(parts, params, mesh, num=NUM, out=str(one), seed=3, batch_size=64)
  return one, kept


def test_two_hosts_end_the_samples_that_one_began_and_not_a_byte_is_another(folder, whole, drawn):
  one, kept = drawn
  two, log = folder / 'two.npz', folder / 'two_log'
  shutil.copytree(kept, f'{two}.parts')
  for index, path in enumerate(sorted(pathlib.Path(f'{two}.parts').glob('*.npz'))):
    if index == 3:
      path.write_bytes(path.read_bytes()[:-30])
    elif index % 3:
      path.unlink()
  draw = ('--mode=sample', f'--workdir={whole}', f'--num={NUM}', '--batch=64', '--seed=3')
  finish(start([(*draw, f'--out={two}')] * 2, log, devices=2), log)
  assert two.read_bytes() == one.read_bytes() and not os.path.exists(f'{two}.parts')
  said = [pathlib.Path(f'{log}.{index}.out').read_text() for index in range(2)]
  assert '000000192.npz cannot be used' in said[0]
  assert [text.count(f'{two}\n') for text in said] == [1, 0]


@pytest.mark.soak
def test_hosts_of_which_none_has_the_mesh_alone_sample_in_step(folder, whole, drawn):
  out, log = folder / 'step.npz', folder / 'step_log'
  draw = ('--mode=sample', f'--workdir={whole}', f'--num={NUM}', '--batch=64', '--seed=3')
  finish(start([(*draw, f'--out={out}', '--set=mesh.fsdp=4')] * 2, log, devices=2), log)
  ours, theirs = np.load(out), np.load(drawn[0])
  for name in theirs.files:
    np.testing.assert_array_equal(ours[name], theirs[name])


MOVES = dict(batch=64, copies=3, flip=True, crop=1)  # 23 shards of train, 6 of test


def encoder(folder):
  """A workdir whose codec makes tokens of digits; nothing is trained."""
  parts = build.build(digits.get_config())
  with workdir_lib.lock(folder):
    workdir_lib.claim(folder, parts.config, parts.contract)
    kept.write(folder, parts)
  return folder


def contents(folder):
  """{name: bytes} of a set of tokens."""
  paths = (path for path in folder.rglob('*') if path.is_file() and path.name != 'lock')
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_two_hosts_end_the_tokens_that_one_began_and_not_a_byte_is_another(folder):
  workdir, one, two = encoder(folder / 'encoder'), folder / 'tokens', folder / 'two_tokens'
  encode.encode(workdir, one, **MOVES)
  shutil.copytree(one, two)
  (two / 'encoded.json').unlink()
  for index, path in enumerate(sorted(two.glob('*/*.npz'))):
    if index == 3:
      path.write_bytes(path.read_bytes()[:-30])
    elif index % 3:
      path.unlink()
  command = ('--mode=encode', f'--workdir={workdir}', f'--out={two}', '--batch=64', '--copies=3',
             '--flip', '--crop=1')
  finish(start([command] * 2, folder / 'encode_log', devices=1), folder / 'encode_log')
  assert contents(two) == contents(one)
  said = [(folder / f'encode_log.{index}.out').read_text() for index in range(2)]
  assert '00003.npz cannot be used' in said[0]
  assert [text.count('1437 x 3 in train, 360 in test') for text in said] == [1, 0]


@pytest.mark.soak
def test_tokens_are_the_same_however_often_one_host_or_one_of_two_was_killed(folder):
  rng, workdir, one = random.Random(0), encoder(folder / 'encoder'), folder / 'tokens_whole'
  how = dict(MOVES, batch=8, copies=32)  # 180 shards of train, 45 of test
  encode.encode(workdir, one, **how)
  words = [f'--{name}={value}' for name, value in how.items()]
  for count, kills in ((1, 10), (2, 5)):
    out, log = folder / f'tokens_{count}', folder / f'tokens_log_{count}'
    commands = [('--mode=encode', f'--workdir={workdir}', f'--out={out}', *words)] * count
    for _ in range(kills):
      kill_at_random(start(commands, log, devices=1), out, rng.randint(1, 100 // kills), rng)
      assert not (out / 'encoded.json').exists()
    finish(start(commands, log, devices=1), log)
    assert contents(out) == contents(one)


def kill_at_random(running, out, more, rng):
  """Kills a process of a job once so many more shards are there, and the others soon after it, as a
  launcher does."""
  wanted = len(list(out.glob('*/*.npz'))) + more
  while len(list(out.glob('*/*.npz'))) < wanted:
    assert all(process.poll() is None for process in running)
    time.sleep(0.002)
  for process in rng.sample(running, len(running)):
    process.kill()
    time.sleep(rng.uniform(0, 0.3))
  assert [process.wait(timeout=90) for process in running] == [-9] * len(running)


def test_processes_that_were_started_otherwise_say_so_and_make_nothing(folder, whole):
  log, out = folder / 'otherwise', folder / 'otherwise.npz'
  draw = ('--mode=sample', f'--workdir={whole}', f'--out={out}')
  finish(start([(*draw, '--num=9'), (*draw, '--num=8', '--seed=1')], log, devices=1), log, code=2)
  said = [pathlib.Path(f'{log}.{index}.err').read_text() for index in range(2)]
  assert 'process 1 was started with --num=8 --seed=1, process 0 with --num=9; start all' in said[0]
  assert 'process 0 was started with --num=9, process 1 with --num=8 --seed=1; start all' in said[1]
  assert not out.exists() and not os.path.exists(f'{out}.parts')


@pytest.mark.parametrize('form', ['--processes={}/2@h --gather=9', '-processes {}/2@h --gather {}'])
def test_which_process_one_is_may_be_written_in_either_form(monkeypatch, form):
  given = [form.format(index, index).split() for index in range(2)]
  heard = []
  monkeypatch.setattr(hosts, '_exchange', lambda command: heard.append(command) or heard)
  for words in given:
    hosts.check_alike(['--mode=eval', *words, '--seed', '1'])
  assert heard == [['--mode=eval', '--seed', '1']] * 2
