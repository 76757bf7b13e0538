"""Before the first step: what the end of a run needs is asked now, and only then is the workdir
taken.

A mistake that would show in the report shows in seconds, and leaves the workdir as it was. The
questions are asked in threads, while the state is compiled or read.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.data import batches
from adiff.learn import base
from adiff.learn import state as state_lib
from adiff.machine import checkpoint, cost, hosts, rates, sharding, weights
from adiff.run import build, division, roles, teachers
from adiff.sequence import values


class Known(NamedTuple):
  """What the questions found."""

  flops: float  # floating-point operations of a training step
  programs: Any  # of the report


@contextlib.contextmanager
def asking(parts: build.Parts, mesh, abstract, shardings) -> Iterator[Callable[[], Known]]:
  """Asks while the block runs, which calls what it is given for the answer.

  abstract and shardings: of the state. Raises ValueError or OSError for what would end the run
  after its last step.
  """
  measuring = roles.measuring(parts)
  measuring.check(parts)  # quick
  _check_kept(parts.config.train)
  _check_size(abstract, shardings)

  def programs():
    with jax.set_mesh(mesh):  # it is set for one thread only
      found, served = measuring.Programs.of(parts, mesh), parts.recipe.served
      found.trace(parts, mesh, sharding.placed(served(abstract), served(shardings)))
    return found

  with futures.ThreadPoolExecutor(3) as beside:
    flops = beside.submit(cost.training, parts, mesh)  # The update reuses this trace,
    found = beside.submit(programs)  # and the report these.
    looked = beside.submit(_look, parts)

    def answer():
      looked.result()
      return Known(flops.result(), found.result())

    yield answer


def _check_kept(train):
  """Raises ValueError where checkpoints that are to be kept are never written."""
  if train.keep_every % train.checkpoint_every:
    raise ValueError(
      f'config.train.keep_every={train.keep_every} is no multiple of '
      f'config.train.checkpoint_every={train.checkpoint_every}, the steps that are saved; write one'
    )


def _check_size(abstract, shardings):
  """Raises ValueError for a state that the memory here cannot hold, whatever a step needs."""
  here = jax.local_device_count()

  def size(leaf, placed):
    if placed.memory_kind == 'pinned_host':  # waits beside an accelerator
      return 0
    return math.prod(placed.shard_shape(leaf.shape)) * leaf.dtype.itemsize * here

  values.check_memory(
    'the state of this model (parameters, their average, moments)',
    sum(jax.tree.leaves(jax.tree.map(size, abstract, shardings))),
    'choose a smaller config.model, or more devices', most=rates.memory(),
  )


def _look(parts):
  """Looks at the examples as far as that is quick, and reads the first batch of every size."""
  config = parts.config
  parts.source.check()
  for one in parts.each_size:
    batches.Batches(
      one.coded, 'train', config.train.batch_size, seed=config.seed, blocks=one.arranged
    ).batch_at(0)


def born(parts: build.Parts, shardings) -> state_lib.State:
  """The state before the first step, with the parameters of config.init_from where it names a
  workdir, and those of teachers. Raises ValueError where that has none that fit."""
  source = parts.config.init_from
  if source and checkpoint.latest_step(source) is None:
    raise ValueError(
      f'config.init_from={source} holds no checkpoint; name the workdir of a run that has saved one'
    )

  def init():  # the key is made in here: the devices may be those of several processes
    return parts.recipe.init(state_lib.stream(parts.config.seed, 'init'))

  state = sharding.born(init, shardings)
  state = init_from(source, state, parts.recipe.role) if source else state
  return teachers.seated(parts, state, lambda place: division.step(place, None))


def init_from(workdir, state, role=base.DENOISER) -> state_lib.State:
  """The state with the averaged parameters of another run, and its codebook, where names and shapes
  agree; prints what differs."""
  step, loaded = checkpoint.restore_params(workdir, role=role)
  params, ema, extra = state.params[role], state.ema[role], state.extra.get(role, {})
  old, taken, fresh = sharding.by_name(loaded), 0, []

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

  unused = sorted(set(old) - set(sharding.by_name(params)))
  params = jax.tree_util.tree_map_with_path(pick, params)
  if extra and not weights.there(workdir):
    _, moved = checkpoint.restore_params(workdir, role=role, step=step, part='extra')
    old = sharding.by_name(moved)
    unused += sorted(set(old) - set(sharding.by_name(extra)))
    extra = jax.tree_util.tree_map_with_path(pick, extra)
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
    params={**state.params, role: params}, ema={**state.ema, role: copies},
    extra={**state.extra, role: extra} if extra else state.extra,
  )
