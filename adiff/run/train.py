"""Training, one readable story.

Resuming, in this order: (1) the config and contract of the workdir must be ours; (2) the state is
restored from the newest sound checkpoint, or initialised, or takes its parameters from
config.init_from; (3) metric lines past that step are dropped; (4) batches and noise continue from
the step number alone. So a run that was killed ends bit for bit where an uninterrupted one does.
"""

import contextlib
import functools
import os
import signal
from collections.abc import Callable
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.data import batches
from adiff.judge.page import images
from adiff.learn import base, optim
from adiff.learn import state as state_lib
from adiff.machine import checkpoint, cost, hosts, logs, rates, sharding
from adiff.run import build, evaluate, generate
from adiff.run import workdir as workdir_lib


def train(config, workdir, *, profile=0, progress=True, show=None) -> int:
  """Trains to config.train.steps, evaluates, writes the report; returns the exit code.

  profile: write a trace of this many steps to workdir/profile. show(step, name, picture): called
  with pictures of samples on the way, uint8 [H, W, 3]. Raises ValueError for a config that
  cannot work, OSError when the workdir cannot be written, FloatingPointError when the loss is no
  longer finite.
  """
  with hosts.on_signals((signal.SIGTERM,), hosts.exit_unfinished):
    parts = build.build(config)
    evaluate.samplers(parts)  # a mistake there would show only after training
    mesh = build.build_mesh(parts)
    hosts.outlive()
    if config.init_from and checkpoint.latest_step(workdir) is None:
      _check_init_from(config.init_from)
    with jax.set_mesh(mesh), contextlib.ExitStack() as held:
      hosts.agree(lambda: _claim(held, workdir, parts))
      return _train(parts, mesh, workdir, profile, progress and hosts.first(), show)


def _claim(held, workdir, parts):
  """Makes the workdir ours, for as long as `held` is open."""
  held.enter_context(workdir_lib.lock(workdir))
  workdir_lib.claim(workdir, parts.config, parts.contract)


class _Job(NamedTuple):
  """What the chapters share."""

  parts: build.Parts
  mesh: jax.sharding.Mesh
  workdir: str
  shardings: Any  # of the state
  keeper: checkpoint.Checkpoints
  show: Callable | None  # (step, name, picture): besides the log

  def average(self, state):
    """The parameters that are evaluated and sampled, on the devices."""
    served = self.parts.recipe.served
    return sharding.fetch(served(state), served(self.shardings))


def _train(parts, mesh, workdir, profile, progress, show):
  """The story itself."""
  config, abstract = parts.config, cost.state(parts)
  keeper = checkpoint.Checkpoints(workdir, keep=config.train.keep, best='nats')
  job = _Job(parts, mesh, workdir, build.state_shardings(parts, mesh, abstract), keeper, show)
  start, state, flops = _begin(job, abstract)
  devices = mesh.size if jax.default_backend() != 'cpu' else 1
  log = logs.Logs(
    workdir, silent=not hosts.first(), total_steps=config.train.steps, start_step=start,
    progress=progress, tokens_per_step=config.train.batch_size * parts.blocks.num_tokens,
    flops_per_step=flops, peak_flops=rates.matmul_rate(seconds=0.1) * devices,
  )
  with (
    _signals() as stop, contextlib.closing(log), contextlib.closing(keeper),
    _tracing(workdir, profile) as trace,
  ):
    state, finished = _loop(job, start, state, log, trace, stop)
  if not finished:
    return hosts.UNFINISHED
  report = evaluate.evaluate(
    parts, job.average(state), workdir, step=config.train.steps, mesh=mesh, flops_per_step=flops,
    progress=progress,
  )
  bound = report['numbers']
  hosts.say(
    f'{config.eval.split} bound {bound["nats"]:.3f} +- {bound["nats_ci95"]:.3f} nats an example; '
    f'report: {report["report"]}'
  )
  return 0


def _begin(job, abstract):
  """(step, state, operations of a step): restored, or born sharded."""
  parts, config = job.parts, job.parts.config

  def init():  # the key is made in here: the devices may be those of several processes
    return parts.recipe.init(state_lib.stream(config.seed, 'init'))

  # What the step costs is counted in its trace, which takes a second or more: in a thread of its
  # own, while the state is compiled or read. The update then reuses that trace.
  with futures.ThreadPoolExecutor(1) as beside:
    counted = beside.submit(cost.step, parts, job.mesh)
    restored = job.keeper.restore(sharding.placed(abstract, job.shardings))
    if restored is not None:
      start, state = restored
      hosts.say(f'resuming {job.workdir} at step {start} of {config.train.steps}')
    else:
      start, state = 0, sharding.born(init, job.shardings)
      if config.init_from:
        state = init_from(config.init_from, state)
    return start, state, counted.result().flops


def _loop(job, start, state, log, trace, stop):
  """(state, is it the last one?) after the loop; `stop` is not empty once a signal has arrived."""
  parts, config, keeper = job.parts, job.parts.config, job.keeper
  source = batches.Batches(
    parts.coded, 'train', config.train.batch_size, seed=config.seed, order=parts.blocks.order,
    rows=sharding.local_rows(job.mesh, config.train.batch_size),
  )
  update = make_update(parts, job.mesh, job.shardings)
  measure, preview = evaluate.Bound(parts, job.mesh), _preview(parts, job.mesh)
  learning_rate = jax.jit(optim.make(**dict(config.optim), total_steps=config.train.steps)[1])

  def write(*line):
    hosts.agree(lambda: log.write(*line))

  # (step, finite) since the loss was last looked at; checked before anything is saved
  unchecked = []
  for step, batch in source.iterate(start):
    if step >= config.train.steps:  # a checkpoint may lie beyond the end
      break
    trace(step - start)
    state, scalars = update(state, sharding.put_batch(job.mesh, batch, config.train.batch_size))
    unchecked.append((step, scalars.pop('finite')))
    done = step + 1
    last, saving = done == config.train.steps, done % config.train.checkpoint_every == 0
    logging = last or done % config.train.log_every == 0
    stopping = bool(stop) or hosts.preempted(done)
    log.tick(done, scalars['loss'])
    if logging or saving or stopping:
      _check_finite(unchecked, keeper)
    if logging:
      write(done, {**scalars, 'learning_rate': learning_rate(np.int32(step))})
    bound = None
    if last or (config.train.eval_every and done % config.train.eval_every == 0):
      bound = measure(job.average(state), samples=1)
      write(done, {'test/nats': bound['nats'], 'test/per_block': bound['per_block']})
      for name, image in preview(job.average(state)).items():
        hosts.agree(functools.partial(log.images, done, name, image))
        if job.show is not None:
          job.show(done, name, image)
    if last or saving or stopping:
      keeper.save(done, state, bound and {'nats': bound['nats']})
    if bound or saving:
      log.pause()
    if stopping and not last:
      keeper.wait()
      hosts.say(f'stopped by a signal; step {done} is saved, run the same command again')
      return state, False
  return state, True


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


def init_from(workdir, state) -> state_lib.State:
  """The state with the averaged parameters of another run where names and shapes agree; prints what
  differs."""
  step, loaded = checkpoint.restore_params(workdir)
  params, ema = state.params[base.DENOISER], state.ema[base.DENOISER]
  old, taken, fresh = _by_name(loaded), 0, []

  def pick(path, leaf):
    nonlocal taken
    name = sharding.path_name(path)
    if name in old and old[name].shape == leaf.shape:
      taken += 1
      return jax.device_put(np.asarray(old[name], leaf.dtype), leaf.sharding)
    fresh.append(
      f'{name} {list(leaf.shape)}, there {list(old[name].shape) if name in old else "absent"}'
    )
    return leaf

  unused = sorted(set(old) - set(_by_name(params)))
  params = jax.tree_util.tree_map_with_path(pick, params)
  hosts.say(f'init_from {workdir} at step {step}: {taken} arrays taken')
  for line in [f'new: {name}' for name in fresh] + [f'not used: {name}' for name in unused]:
    hosts.say(f'  {line}')
  if not taken:
    raise ValueError(
      f'config.init_from={workdir}: no parameter has the name and shape of this model; use the '
      'same model sizes'
    )
  copies = jax.tree.map(
    lambda new, old: jax.device_put(jnp.array(new), old.sharding), params, ema
  )
  return state.replace(
    params={**state.params, base.DENOISER: params}, ema={**state.ema, base.DENOISER: copies}
  )


def _by_name(tree):
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {sharding.path_name(path): leaf for path, leaf in leaves}


def _check_init_from(workdir):
  if checkpoint.latest_step(workdir) is None:
    raise ValueError(
      f'config.init_from={workdir} holds no checkpoint; name the workdir of a run that has saved '
      'one'
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


def _preview(parts, mesh):
  """params -> {name: picture}: a few samples on the way, of image sets."""
  levels = parts.source.facts.levels
  if parts.spec.medium != 'image' or not levels:
    return lambda params: {}
  num, run = 20, generate.make_sampler(parts, mesh=mesh)
  labels = generate.balanced_labels(parts.spec.num_classes, 0, num)

  def preview(params):
    keys = generate.example_keys(parts.config.seed, 0, num)
    tokens = parts.blocks.to_raster(np.asarray(run(params, keys, labels)[0]))
    if not np.all(np.isfinite(tokens)):
      return {}
    return {'samples': images.grid(parts.coded.decode(tokens), levels)}

  return preview


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
      jax.profiler.start_trace(os.path.join(workdir, 'profile'))
      running.append(True)
    elif running and made == first + steps:
      jax.profiler.stop_trace()
      running.clear()

  try:
    yield trace
  finally:
    if running:
      jax.profiler.stop_trace()
