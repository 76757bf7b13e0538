"""Training, one readable story.

Resuming, in this order: (1) the config and contract of the workdir must be ours; (2) the state is
restored from the newest sound checkpoint, or initialised, or takes its parameters from
config.init_from; (3) metric lines past that step are dropped; (4) what was saved and not yet
measured is measured; (5) batches and noise continue from the step number alone. So a run that was
killed ends bit for bit where an uninterrupted one does.
"""

import contextlib
import functools
import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from adiff.data import batches
from adiff.learn import optim
from adiff.learn import state as state_lib
from adiff.machine import checkpoint, cost, hosts, logs, rates, sharding, storage, waiting
from adiff.run import begin, build, kept, roles, stopped
from adiff.run import workdir as workdir_lib


def train(config, workdir, *, profile=0, progress=True, show=None, coded=None) -> int:
  """Trains to config.train.steps, evaluates, writes the report; returns the exit code.

  profile: write a trace of this many steps to workdir/profile. show(step, name, picture): called
  with pictures of samples on the way, uint8 [H, W, 3]. coded: see build.build. Raises ValueError
  for a config that cannot work, OSError when the workdir cannot be written, FloatingPointError when
  the loss is no longer finite.
  """
  with hosts.on_signals((signal.SIGTERM,), hosts.exit_unfinished):
    parts = build.build(config, coded, codec=kept.codec(workdir, config))
    if config.plan.size:
      raise ValueError(
        f'config.plan.size={config.plan.size} is of samples, and training takes pictures as large '
        'as those of the data and of config.train.sizes; leave it empty'
      )
    mesh = build.build_mesh(parts)
    hosts.outlive()
    with jax.set_mesh(mesh), contextlib.ExitStack() as held:
      job, start, state, flops = _begin(held, parts, mesh, workdir, show)
      return _train(job, start, state, flops, profile, progress and hosts.first())


class _Job(NamedTuple):
  """What the chapters share."""

  parts: build.Parts
  mesh: jax.sharding.Mesh
  workdir: str
  shardings: Any  # of the state
  keeper: checkpoint.Checkpoints
  measuring: ModuleType  # see roles.py
  programs: Any  # that it has traced
  show: Callable | None  # (step, name, picture): besides the log

  def average(self, state):
    """The parameters that are evaluated and sampled, on the devices."""
    served = self.parts.recipe.served
    return sharding.fetch(served(state), served(self.shardings))

  def measured_after(self, done):
    """Is it measured after so many steps?"""
    train = self.parts.config.train
    return done == train.steps or bool(train.eval_every) and done % train.eval_every == 0


def _begin(held, parts, mesh, workdir, show):
  """(job, step, state, operations of a step): restored, or born sharded. The workdir is ours for as
  long as `held` is open; a new one only once nothing is left to ask."""
  abstract, measuring = cost.state(parts), roles.measuring(parts)
  shardings = build.state_shardings(parts, mesh, abstract)
  placed = sharding.placed(abstract, shardings)
  hosts.agree(lambda: workdir_lib.check(workdir, parts.config, parts.contract))

  def claim():
    held.enter_context(workdir_lib.lock(workdir))
    workdir_lib.claim(workdir, parts.config, parts.contract)
    kept.write(workdir, parts)
    stopped.take_away(workdir)

  def take():
    """The workdir, and what there is to go on from."""
    hosts.agree(claim)
    train = parts.config.train
    keeper = checkpoint.Checkpoints(
      workdir, keep=train.keep, every=train.keep_every, best=measuring.BEST
    )
    return keeper, keeper.restore(placed)

  keeper = restored = None
  with begin.asking(parts, mesh, abstract, shardings) as answer:
    if hosts.told(workdir_lib.is_made(workdir)):
      keeper, restored = take()
    state = begin.born(parts, shardings) if restored is None else None
    flops, programs = answer()
  if keeper is None:
    keeper, restored = take()
  job = _Job(parts, mesh, workdir, shardings, keeper, measuring, programs, show)
  if restored is None:
    return job, 0, state, flops
  hosts.say(f'resuming {workdir} at step {restored[0]} of {parts.config.train.steps}')
  return job, *restored, flops


def _train(job, start, state, flops, profile, progress):
  """The story itself."""
  parts, config, mesh = job.parts, job.parts.config, job.mesh
  devices = mesh.size if jax.default_backend() != 'cpu' else 1
  log = logs.Logs(
    job.workdir, silent=not hosts.first(), total_steps=config.train.steps, start_step=start,
    progress=progress, tokens_per_step=config.train.batch_size * np.mean(
      [one.spec.num_tokens for one in parts.each_size]
    ),
    flops_per_step=flops, peak_flops=rates.matmul_rate(seconds=0.1) * devices,
  )
  with (
    _signals() as stop, contextlib.closing(log), contextlib.closing(job.keeper),
    _tracing(job.workdir, profile) as trace,
  ):
    try:
      state, finished = _loop(job, start, state, log, trace, stop)
    except FloatingPointError as error:  # the same command would end so again
      hosts.agree(functools.partial(stopped.leave, job.workdir, str(error)))
      raise
  if not finished:
    return hosts.UNFINISHED
  with hosts.on_signals((signal.SIGTERM,), hosts.exit_unfinished, several=True):
    report = job.measuring.evaluate(
      parts, job.average(state), job.workdir, step=config.train.steps, mesh=mesh,
      flops_per_step=flops, progress=progress, programs=job.programs,
    )
  hosts.say(f'{job.measuring.said(report)}; report: {report["report"]}')
  return 0


def _loop(job, start, state, log, trace, stop):
  """(state, shall it be evaluated?) after the loop; `stop` is not empty once a signal has come."""
  parts, config, keeper = job.parts, job.parts.config, job.keeper
  sources = [batches.Batches(
    one.coded, 'train', config.train.batch_size, seed=config.seed, blocks=one.arranged,
    rows=sharding.local_rows(job.mesh, config.train.batch_size), workers=config.train.workers,
    share=config.train.share,
  ) for one in parts.each_size]
  updates = [make_update(one, job.mesh, job.shardings) for one in parts.each_size]
  measure = _measuring(job, log)
  learning_rate = jax.jit(optim.make(**dict(config.optim), total_steps=config.train.steps)[1])
  if start and job.measured_after(start):  # it was saved, and then the run was killed
    measure(start, state)

  # (step, finite) since the loss was last looked at; checked before anything is saved
  unchecked, clock = [], waiting.Waiting()
  latest = {}  # scalars of the last step of every size
  busy = lambda: bool(unchecked) and not unchecked[-1][1].is_ready()
  for step, batch in clock.watched(batches.in_turn(sources, start), busy):
    if step >= config.train.steps:  # a checkpoint may lie beyond the end
      break
    trace(step - start)
    update = updates[step % len(updates)]
    state, scalars = update(state, sharding.put_batch(job.mesh, batch, config.train.batch_size))
    unchecked.append((step, scalars.pop('finite')))
    latest |= _named(scalars, config.train.sizes, step)
    done = step + 1
    last, saving = done == config.train.steps, done % config.train.checkpoint_every == 0
    logging = last or done % config.train.log_every == 0
    stopping = bool(stop) or hosts.preempted(done)
    log.tick(done, scalars['loss'])
    if logging or saving or stopping:
      _check_finite(unchecked, keeper)
    if logging:
      told = {'learning_rate': learning_rate(np.int32(step)), 'time/data_wait': clock.share()}
      hosts.agree(functools.partial(log.write, done, {**latest, **told}))
    if last or saving or stopping:
      hosts.agree(log.keep)
      keeper.save(done, state)
    if stopping:
      return _stopped(keeper, done, state)
    if job.measured_after(done):
      measure(done, state)
      clock.restart()
    elif saving:
      log.pause()
      clock.restart()
  if stop or hosts.preempted(config.train.steps + 1):  # it came while the last one was measured
    return _stopped(keeper, config.train.steps, state)
  return state, True


def _named(scalars, sizes, step):
  """Those of a step, called by the size of its pictures where it is not that of the data."""
  turn = step % (1 + len(sizes))
  if not turn:
    return scalars
  return {f'{name}_{"x".join(map(str, sizes[turn - 1]))}': one for name, one in scalars.items()}


def _stopped(keeper, done, state):
  """What `_loop` returns after a signal, once all is on the disk; what is left is measured next."""
  keeper.wait()
  hosts.say(f'stopped by a signal; step {done} is saved, run the same command again')
  return state, False


def _measuring(job, log):
  """(step, state) -> None: what is rated, and pictures, in the log, on the show and beside the
  checkpoint. What is saved is on the disk before that, and what was measured is not again."""
  keeper, draw = job.keeper, job.measuring.preview(job.parts, job.programs)
  best = job.measuring.BEST

  def measure(done, state):
    keeper.wait()
    if hosts.told(keeper.rated(done) and logs.has(job.workdir, done, f'test/{best}')):
      return
    average = job.average(state)
    found = job.measuring.rate(job.programs, average)
    if not hosts.told(logs.has(job.workdir, done, f'test/{best}')):
      told = {f'test/{name}': value for name, value in found.items()}
      hosts.agree(functools.partial(log.write, done, told))
    for name, image in draw(average).items():
      hosts.agree(functools.partial(log.images, done, name, image))
      if job.show is not None:
        job.show(done, name, image)
    if done in keeper.steps():
      keeper.rate(done, {best: found[best]})
    log.pause()

  return measure


def make_update(parts, mesh, shardings) -> Callable:
  """(state, batch) -> (state, scalars), jitted; the state's buffers are used again."""
  def update(state, batch):  # the key is made in here: the devices may be elsewhere (dryrun.py)
    key = jax.random.fold_in(state_lib.stream(parts.config.seed, 'train'), state.step)
    return parts.recipe.update(sharding.fetch(state, shardings), batch, key)

  return jax.jit(
    update,
    donate_argnums=0,
    out_shardings=(shardings, sharding.replicated(mesh)),
  )


def _check_finite(unchecked, keeper):
  """Raises FloatingPointError naming the first step whose loss or gradient is not finite."""
  finite = jax.device_get([ok for _, ok in unchecked])
  bad = [step for (step, _), ok in zip(unchecked, finite, strict=True) if not ok]
  unchecked.clear()
  if bad:
    keeper.wait()  # One may just be on its way to the disk.
    kept = (
      f'the checkpoint of step {keeper.steps()[-1]} is kept'
      if keeper.steps() else 'there is no checkpoint yet'
    )
    raise FloatingPointError(
      f'loss or gradient is not finite at step {bad[0] + 1}; {kept}; lower optim.learning_rate or '
      'optim.clip in a new --workdir, where init_from may name this one'
    )


@contextlib.contextmanager
def _signals():
  """A list that is not empty once SIGTERM or SIGINT has arrived; a second SIGINT interrupts."""
  stop = []

  def handler(number, frame):
    if stop and number == signal.SIGINT:
      signal.default_int_handler(number, frame)
    stop.append(number)

  with hosts.on_signals((signal.SIGTERM, signal.SIGINT), handler):
    yield stop


@contextlib.contextmanager
def _tracing(workdir, steps):
  """A function of the steps made so far; it records `steps` of them, after ten that warm up."""
  first, running = 10, []

  def trace(made):
    if steps and made == first:
      running.append(held.enter_context(storage.filled(os.path.join(workdir, 'profile'))))
      jax.profiler.start_trace(running[0])
    elif running and made == first + steps:
      stop()

  def stop():
    jax.profiler.stop_trace()
    running.clear()
    held.close()

  with contextlib.ExitStack() as held:
    try:
      yield trace
    finally:
      if running:
        stop()
