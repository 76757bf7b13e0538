"""Studies: rows of configs side by side, each trained with several seeds: --mode=study.

  OUT/study.html, study.json   what is finished, written anew after every run
  OUT/RUN/                     the workdir of a run; RUN is ROW-seedN, of what a row's settings are
                               chosen with ROW-tuned, of a codec of rows CODEC-codec
  OUT/RUN/studied.json         what a run came to; a run that has it is not run again, and of its
                               workdir nothing else is read, but of a codec's its codec.json
  OUT/made_by.json             the study as it was asked for
  OUT/making/RUN/lock          whoever makes a run

A study that is killed goes on where it was, and ends with the same numbers but for those of clocks.
Processes that are started on one OUT share its runs out: each takes the next that nobody makes.
"""

import contextlib
import dataclasses
import functools
import math
import os
import time
from typing import Any

import jax
import numpy as np

from adiff.judge import section, studied, swept
from adiff.learn import base as learn_base
from adiff.machine import checkpoint, cost, files, hosts, json_file, provenance, storage
from adiff.run import (
  build,
  choose,
  claimed,
  expected,
  handle,
  kept,
  locked,
  output,
  places,
  report,
  study_runs,
  train,
  tuning,
)
from adiff.run import studies as studies_lib
from adiff.run import workdir as workdir_lib

MAKING = 'making'
NAMES = ('study.html', 'study.json', 'pictures', 'lock', MAKING, workdir_lib.MADE_BY)
RESULT = 'studied.json'
CLAIMS = 'claims'
DIVERGED = 'diverged'
_RESULT = {
  'numbers': {str: float}, 'points': [dict], f'{DIVERGED}?': str, 'settings': [str],
  'commit?': str, 'hardware?': str,  # of files of before they were told: not known
}
# What a network that settings are chosen with is measured with: its plan's own steps, and no more.
_TUNING = 'eval.steps=[]', 'eval.samples=1', 'eval.structure=false'
_ENOUGH = 1000  # samples, at most
_CALLS = 5  # of one sample each, of which the median is told


def run(name, out, data=None) -> int:
  """A study, into runs/studies/NAME unless OUT says it, or the list of them; as `study`."""
  if name is None:
    return tell()
  return study(name, os.path.join('runs', 'studies', name) if out is None else out, data)


def study(name, out, data=None) -> int:
  """Trains what is not finished of a study, and writes its page; returns the exit code. The study
  `claims` trains nothing: it reads what the studies beside OUT left, see claimed.py.

  data: where the data of rows lie whose data lie somewhere. Raises ValueError for a study that
  there is not, or a folder that is another's; OSError where it cannot be written.
  """
  if name == CLAIMS:
    hosts.say(claimed.write(out, NAMES))
    return 0
  asked = studies_lib.find(name)
  runs = list(study_runs.of(asked, out))
  _check_codecs(asked, data)
  output.check_set(out, [*NAMES, *(os.path.basename(run.workdir) for run in runs)], ())
  with contextlib.ExitStack() as held:
    locked.wait(held, out)
    workdir_lib.check_made_by(out, asked.as_data(), 'name another folder with --out')
  told = False
  while left := [run for run in runs if not _ended(run)]:
    with contextlib.ExitStack() as held:
      run = next((run for run in left if _taken(held, out, run, left)), None)
      if run is None:
        if not told:
          hosts.say(f'[{len(runs) - len(left)}/{len(runs)}] waiting for runs of other processes')
        told = True
        time.sleep(locked.PAUSE)
      elif not _ended(run):  # by another process since we looked
        hosts.say(f'[{len(runs) - len(left)}/{len(runs)}] {os.path.basename(run.workdir)}')
        code = _finish(asked, out, run, data)
        if code:
          return code
        write(asked, out)
  write(asked, out)  # whoever finished the last run may have been killed before this
  hosts.say(f'[{len(runs)}/{len(runs)}] {os.path.join(out, NAMES[0])}')
  return 0


def _check_codecs(asked, data):
  """Raises ValueError where what shall train a codec trains none, or its row makes no codes."""
  for row in (row for row in asked.rows if row.codec_row):
    recipe = choose.find('recipe', _written(row.codec_row, data).recipe.name)
    if recipe.role != learn_base.CODEC or 'workdir' not in _written(row, data).codec:
      raise ValueError(
        f'the study {asked.name}: {row.codec} must train a codec, and {row.name} be of '
        'codec.name=trained; leave it out of codecs'
      )


def _ended(run):
  return storage.exists(os.path.join(run.workdir, RESULT))


def _taken(held, out, run, left):
  """Is a run ours now? Not where another process makes it, or what it needs is not there."""
  early = any(other.workdir in run.needs for other in left)
  return not early and locked.take(held, os.path.join(out, MAKING, os.path.basename(run.workdir)))


def config(asked, row, seed, data=None, settings=(), codecs=()) -> Any:
  """The config of a run: that of its row, with the steps that the study's FLOPs pay for. codecs:
  the workdirs of its codecs, one or none."""
  placed = tuple(f'codec.workdir={workdir}' for workdir in codecs)
  made = _changed(asked, row, seed, data, (*settings, *placed))
  flops = asked.flops_of(row)
  steps = round(flops / _flops(asked, row, data, placed))
  if steps <= made.optim.warmup:
    raise ValueError(
      f'the study {asked.name}: {flops:.3g} FLOP pay for {steps} steps of {row.name}, which '
      f'warms up for {made.optim.warmup}; give it more, or write a smaller optim.warmup'
    )
  with made.unlocked():
    made.train.steps = steps
    if seed == study_runs.TUNED_SEED:
      made.eval.num = min(made.eval.num, _ENOUGH)
  return made.lock()


def _changed(asked, row, seed, data, settings):
  """The config of a row as its file has it, but for what is changed."""
  made = _written(row, data)
  with made.unlocked():
    for word in (*asked.settings, *row.settings, f'seed={seed}', *settings):
      key, _, value = word.partition('=')
      workdir_lib.set_key(made, key, value, where=f'the study {asked.name}: ')
  return made


def _written(row, data):
  """The config of a row as its file has it."""
  file, _, argument = row.config.partition(':')
  made = expected.module(studies_lib.place(file)).get_config(*filter(None, [argument]))
  return places.placed_if_any(made, data)


@functools.cache
def _flops(asked, row, data, placed):
  """Of a step of training, whatever the seed: counting them takes seconds."""
  return cost.training(build.build(_changed(asked, row, 0, data, placed)))


def _finish(asked, out, run, data) -> int:
  """Trains a run to its end, and writes what it came to; returns the exit code. A run that settings
  are chosen with comes to those that are best; to the first ones where it diverges. A codec that
  diverges ends the study."""
  settings = _settings(asked, out, run)
  is_codec = run.use == study_runs.CODEC
  made = _written(run.row, data) if is_codec else config(
    asked, run.row, run.seed, data, settings, study_runs.codecs(out, run.row)
  )
  begun, resumed = time.monotonic(), checkpoint.latest_step(run.workdir) is not None
  told = {
    'settings': list(asked.tuned[0] if run.use == study_runs.SETTINGS else settings), 'numbers': {},
    'points': [], 'commit': provenance.commit(), 'hardware': provenance.hardware(),
  }
  try:
    code = train.train(made, run.workdir)
    if code:
      return code
    if not is_codec:
      told |= _came_to(run.workdir, made)
    if run.use == study_runs.SETTINGS:
      told['settings'] = list(tuning.best(asked, run.workdir, data))
    if not resumed:
      told['numbers']['minutes'] = (time.monotonic() - begun) / 60
  except FloatingPointError as error:
    if is_codec:
      raise FloatingPointError(
        f'the codec {run.row.config} of the study {asked.name}: {error}'
      ) from error
    hosts.say(f'{os.path.basename(run.workdir)} diverged: {error}')
    told[DIVERGED] = str(error)
  files.write_json(os.path.join(run.workdir, RESULT), told)
  jax.clear_caches()  # of programs that no other run calls
  return 0


def _settings(asked, out, run) -> tuple[str, ...]:
  """What changes the config of a run besides the study's own settings and its row's."""
  if run.use == study_runs.SETTINGS:
    return _TUNING
  if run.use == study_runs.CODEC or not study_runs.is_tuned(asked, run.row):
    return ()
  told = json_file.read(os.path.join(study_runs.tuned(out, run.row), RESULT), _RESULT)
  return tuple(told['settings'])


def _came_to(workdir, made) -> dict[str, Any]:
  """The numbers and points of a run that has ended."""
  numbers, points = tuning.read(workdir)
  sizes = jax.tree.leaves(cost.params(kept.parts(workdir, made)))
  numbers |= {
    'steps': made.train.steps, 'latency': _latency(workdir),
    'parameters': sum(math.prod(leaf.shape) for leaf in sizes),
  }
  return {'numbers': numbers, 'points': points}


def _latency(workdir) -> float:
  """Seconds for one sample, compilation excluded."""
  loaded, seconds = handle.load(workdir), []
  for call in range(1 + _CALLS):
    begun = time.monotonic()
    loaded.sample(1, seed=call)
    seconds.append(time.monotonic() - begun)
  return float(np.median(seconds[1:]))


# ---- The page ------------------------------------------------------------------------------------


def measured(asked, out) -> tuple[list[studied.Measured], list[tuple[str, int]], dict[str, str]]:
  """(what is finished of the table, its rows and seeds that diverged, commits and hardware of all
  runs)."""
  found, diverged, origin = [], [], {'commit': set(), 'hardware': set()}
  for run in study_runs.of(asked, out):
    place = os.path.join(run.workdir, RESULT)
    if not storage.exists(place):
      continue
    told = json_file.read(place, _RESULT, advice='delete it, and run the study again')
    for key, seen in origin.items():
      seen.add(told[key] if key in told else 'not known')
    if run.use != study_runs.TABLE:
      continue
    if DIVERGED in told:
      diverged.append((run.row.name, run.seed))
    else:
      found.append(studied.Measured(
        run.row.name, run.seed, told['numbers'], tuple(told['points'])
      ))
  return found, diverged, {key: ', '.join(sorted(seen)) for key, seen in origin.items()}


def write(asked, out) -> None:
  """Writes the page of what is finished."""
  with contextlib.ExitStack() as held:
    locked.wait(held, out)
    _write(asked, out)


def _write(asked, out):
  found, diverged, origin = measured(asked, out)
  done, total = len(found) + len(diverged), sum(map(asked.seeds_of, asked.rows))
  costs = sorted({asked.flops_of(row) for row in asked.rows})
  facts = [
    section.Fact('runs', 'runs', f'{done} of {total}'),
    section.Fact('flops', 'FLOP of training a run', costs[0] if len(costs) == 1 else ', '.join(
      f'{cost:.3g}' for cost in costs)),
    section.Fact('diverged', 'diverged', ', '.join(
      f'{row} (seed {seed})' for row, seed in diverged) if diverged else 'none'),
    *(section.Fact(key, key, value) for key, value in origin.items()),
  ]
  codecs = dict.fromkeys(row.codec for row in asked.rows if row.codec)
  if codecs:
    facts.append(section.Fact('codecs', 'codecs, trained besides', ', '.join(codecs)))
  told = {
    'title': f'{asked.name}: {asked.about}', 'study': asked.as_data(), 'complete': done == total,
    'measured': [dataclasses.asdict(run) for run in found], 'diverged': diverged,
    **origin,
  }
  report.write(out, *NAMES[:2], told, _sections(asked, found, diverged), facts)


def _sections(asked, found, diverged):
  if asked.axis is None:
    return studied.sections(asked.metric, found, [row.name for row in asked.rows])
  places = {row.name: row.place for row in asked.rows}
  return swept.sections(asked.metric, asked.axis, places, found, diverged)


def tell() -> int:
  """Prints every study; returns 0."""
  for asked in studies_lib.every():
    runs, costs = sum(map(asked.seeds_of, asked.rows)), sorted(map(asked.flops_of, asked.rows))
    most = f' to {costs[-1]:.3g}' if costs[-1] > costs[0] else ''
    print(f'{asked.name}  {asked.about}: {len(asked.rows)} rows, {runs} runs, '
          f'{costs[0]:.3g}{most} FLOP each')
  print(f'{CLAIMS}  what is said of autoregressive diffusion, and what the studies beside it found')
  print('run one with --mode=study --study=NAME --out=FOLDER')
  return 0
