"""Samples: one compiled program for a whole batch, and as many batches as are asked for."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adiff.data import batches, facts_file
from adiff.learn import state
from adiff.machine import cost, hosts, rates, sharding
from adiff.nn import network
from adiff.run import asked, build, codecs, drafted, exported
from adiff.sample import (
  capacity,
  drafted_steps,
  guidance,
  kept,
  parallel,
  repaint,
  session,
  speculative,
  walk,
)
from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, values

_WHOLE = (
  'speculative.draft makes whole samples, without prompts or given tokens; set '
  "speculative.draft='', or leave them away"
)
# libtpu 0.0.52 fails on sharded samplers otherwise: "async-collective-start overlaps with another
# chunk", as of configs/imagenet256.py:acdit_xl on v5e:16x16.
_SEVERAL_TPUS = {'xla_tpu_enable_async_collective_fusion': False}


class Held(NamedTuple):
  """What of examples is there before they are made, in raster order."""

  tokens: Any  # [n, N, ..]; of what is not known any, or what a plan of start < 1 begins with
  known: np.ndarray | None  # bool [n, N]; None: nothing is


def make_sampler(parts: build.Parts, plan=None, *, mesh=None, trace=False) -> Callable:
  """(params, keys [B], labels [B], {name: value of further conditions} or nothing, Held in block
  order or nothing) -> (x0 [B, N, ..] in block order, network calls [B]), jitted.

  trace: -> x after every row [R, B, N, ..], uncached. mesh: every device gets the whole result.
  """
  plan = parts.plan if plan is None else plan
  asked = sum(evaluations(plan, parts.solver, parts.blocks)) if plan.resamples else None
  draft = drafted.load(parts) if parts.speculative.draft and not trace else None

  def run(params, keys, labels, told=None, given=()):
    if draft is not None and given:
      raise ValueError(_WHOLE)
    if draft is not None:
      x, counts = speculative.sample(
        drafted.reader(parts, params), draft, keys, parts.speculative.tokens, narrow=parts.narrow
      )
      return x, counts.calls + counts.drafts

    def bind(params):
      denoise = parts.recipe.network(params, loops=True)
      return guided(parts, denoise, asked_for(parts, labels, told))

    if trace and parts.solver.keeps:
      return kept.rows(
        bind(params), keys, plan, coords=parts.spec.coords, blocks=parts.blocks,
        process=parts.process, solver=parts.solver,
      )
    if trace:
      return walk.sample(
        bind(params), keys, plan, trace=True, coords=parts.spec.coords, narrow=parts.narrow,
        hints=parts.hints,
        blocks=parts.blocks, process=parts.process, solver=parts.solver,
      )
    if plan.resamples:
      x = repaint.sample(
        bind(params), keys, plan, *given, coords=parts.spec.coords,
        blocks=parts.blocks, process=parts.process, solver=parts.solver,
      )
      return x, jnp.full(len(keys), asked, jnp.int32)
    walked = make_session(parts, bind, plan)
    state = walked.finish(params, walked.start(keys, *given))
    return state.x, state.calls

  several = mesh is not None and mesh.size > 1 and mesh.devices.flat[0].platform == 'tpu'
  return jax.jit(
    run, out_shardings=mesh and sharding.replicated(mesh),
    compiler_options=_SEVERAL_TPUS if several else None,
  )


def make_session(
  parts: build.Parts, bind, plan=None, **more
) -> session.Session | parallel.Session | drafted_steps.Session:
  """The session of the config; bind: parameters -> Denoise."""
  plan = parts.plan if plan is None else plan
  if parts.speculative.draft:
    raise ValueError(_WHOLE)
  own = (
    parts.model, bind, plan, parts.blocks, parts.process, parts.solver, parts.spec.coords,
  )
  if parts.speculative.steps:
    return drafted_steps.Session(*own, parts.speculative.steps, caches=caches(parts), **more)
  if parts.parallel.method != parallel.NONE:
    return parallel.Session(*own, parts.parallel, caches=caches(parts), **more)
  return session.Session(
    *own, narrow=parts.narrow, hints=parts.hints, caches=caches(parts), **more,
  )


def asked_for(parts: build.Parts, labels, told=None) -> dict:
  """All conditions of examples with these labels [B], and what is `told` besides, in block order;
  what is not has its null."""
  nothing = conditions.nothing(parts.spec.further, len(labels), parts.spec.num_tokens)
  return {conditions.LABEL: labels, **nothing, **(told or {})}


def in_blocks(parts: build.Parts, told) -> dict[str, np.ndarray]:
  """What examples are told, in block order."""
  return batches.ordered(told, parts.blocks, parts.spec)


def guided(parts: build.Parts, denoise: ask_lib.Denoise, cond) -> ask_lib.Denoise:
  """`denoise` under conditions {name: value of examples}, guided as the config says, or told so."""
  if parts.model.hears_guidance:
    cond = {**cond, conditions.GUIDANCE: told_guidance(parts, len(cond[conditions.LABEL]))}
  if parts.branches > 1:
    interval = parts.config.guidance.interval
    hides = parts.hides if parts.config.guidance.scale != 1 else None
    denoise = guidance.guide(denoise, scale=parts.guidance, interval=interval, hides=hides)
  return network.condition(denoise, cond, history_cond=parts.history_cond)


def told_guidance(parts: build.Parts, num) -> np.ndarray:
  """[num, N, 3]: the config's, as networks are told it, see conditions.GUIDANCE."""
  scale = np.asarray(parts.guidance, np.float32)[parts.blocks.block_of_token]
  ends = np.broadcast_to(np.float32(parts.config.guidance.interval), (len(scale), 2))
  value = np.concatenate([scale[:, None], ends], axis=1)
  return np.broadcast_to(value, (num, *value.shape))


def caches(parts: build.Parts) -> int:
  """Caches an example needs: one a branch for guidance over history that carries the condition."""
  return parts.branches if parts.history_cond or parts.hides else 1


def rollout(parts: build.Parts, batch, *, plan=None, cached=True) -> cost.Rollout:
  """What `batch` samples cost that are made together by `make_sampler`, or by its definition."""
  keys = jax.eval_shape(lambda: example_keys(0, 0, batch))
  labels = jax.ShapeDtypeStruct((batch,), np.int32)
  run = make_sampler(parts, plan, trace=not cached)
  program = run.trace(cost.params(parts), keys, labels).jaxpr
  return _rollout(parts, batch, plan, program, cached=cached)


def check_batch(parts: build.Parts, batch) -> None:
  """Raises ValueError where `batch` samples do not fit into the devices' memory together, by what
  their tokens and caches take: before anything is made."""
  places = _places(parts, parts.plan)
  tokens = 4 * batch * parts.spec.num_floats
  values.check_memory(
    f'a batch of {values.shown(batch)} samples',
    tokens + parts.model.cache_bytes(batch * caches(parts), places),
    'write a smaller --batch, or eval.batch_size', most=rates.memory(),
  )


def _places(parts, plan):
  """Of every cache of a walk through the plan."""
  if parts.solver.keeps:  # all states but the last
    return ((plan.num_rows - 1) * parts.blocks.num_tokens,) * len(parts.model.reads)
  return capacity.each(plan, parts.blocks, parts.model.reads)


def _rollout(parts, batch, plan, program, *, cached=True, given=False):
  """given: are tokens, so that some need not be made?"""
  plan, model = parts.plan if plan is None else plan, parts.model
  places = _places(parts, plan) if cached else 0
  counted = cost.traced(program, _often(parts, plan, cached, given))
  return cost.Rollout(
    **vars(counted), evaluations=sum(evaluations(plan, parts.solver, parts.blocks)),
    cache_bytes=model.cache_bytes(batch * caches(parts), places),
  )


def _often(parts, plan, cached, given) -> dict[str, float]:
  """{name: turns of a loop, or the share of the cases in which a branch is taken}, on average over
  the rows of a walk, as far as the plan settles it; names as in sequence/turns.py."""
  often, sizes = dict(parts.model.head.often), set(parts.blocks.sizes)
  asked = evaluations(plan, parts.solver, parts.blocks)
  most = len(asked) * (parts.solver.calls - 1)
  if most:
    often['second'] = (sum(asked) // (1 + plan.resamples) - len(asked)) / most
  walks = {*zip(plan.budgets, plan.spacing_of_block, strict=True)}
  alike = plan.sequential and len(sizes) == len(walks) == 1 and not parts.spec.by_kind
  if given or not alike:
    return often
  size, budget = sizes.pop(), plan.budgets[-1]
  revealed = parts.solver.reveals(plan.matrix[plan.starts[-1]:, -1], size)
  if revealed is None:
    return often
  rows = int(np.flatnonzero(revealed)[-1]) + 1 if cached else budget
  num = size if cached else parts.blocks.num_tokens
  turns = sum(parts.model.head.turns(int(wanted), num) for wanted in revealed)
  return {**often, 'rows': rows - 1, 'vectors': turns / rows}


def evaluations(plan, solver, blocks) -> list[int]:
  """[R]: network calls of each row of the walk, one after another, at most."""
  before, after = plan.matrix[:-1], plan.matrix[1:]
  asks = np.where(after < before, np.asarray(solver.asks(after, blocks.runs_of_blocks)), 1)
  return ((1 + plan.resamples) * asks.max(axis=1)).tolist()


def example_keys(seed, start, num) -> jax.Array:
  """[num] keys: example i of a seed has one key, whatever the batch it is drawn in."""
  return jax.vmap(lambda i: state.stream(seed, 'sample', i))(start + jnp.arange(num))


def abstract(parts: build.Parts, mesh, batch_size) -> tuple:
  """(keys, labels, told) of a batch of a `Sampler`, as ShapeDtypeStructs."""
  size = sharding.round_up(mesh, batch_size)
  keys = jax.eval_shape(lambda: example_keys(0, 0, size))
  labels = jax.ShapeDtypeStruct((size,), np.int32)
  told = conditions.nothing(parts.spec.further, size, parts.spec.num_tokens)
  told = {name: jax.ShapeDtypeStruct(one.shape, one.dtype) for name, one in told.items()}
  return sharding.placed((keys, labels, told), sharding.batch_sharding(mesh))


def balanced_labels(num_classes, start, num) -> np.ndarray:
  """int32 [num]: example i has class i mod num_classes; -1 where there are no classes."""
  index = np.arange(start, start + num, dtype=np.int32)
  return index % num_classes if num_classes else np.full(num, -1, np.int32)


class Sampler:
  """Makes any number of examples in batches of one size, so that one program serves all."""

  def __init__(
    self, parts: build.Parts, params, mesh, *, plan=None, seed=0, batch_size=256, labels=None,
    told=None, given: Held | None = None, traced=None,
  ):
    """labels: int32 [num], one an example and used in a circle; None: balanced. told: {name: [num,
    ..]} of further conditions, likewise, in raster order; what is not told has its null. given:
    likewise. traced: the function of `make_sampler` that was traced before."""
    check_batch(parts, batch_size)
    self._parts, self._asked, self._given = parts, labels, given
    nothing = conditions.nothing(parts.spec.further, 1, parts.spec.num_tokens)
    self._told = in_blocks(parts, {**nothing, **(told or {})})
    self.size, self._mesh = sharding.round_up(mesh, asked.count('batch', batch_size)), mesh
    self._keys = jax.jit(
      lambda start: example_keys(seed, start, self.size),
      out_shardings=sharding.batch_sharding(mesh),
    )
    self._params = params
    run = make_sampler(parts, plan, mesh=mesh) if traced is None else traced
    traced = run.trace(params, *self._inputs(0))
    self.cost = _rollout(parts, self.size, plan, traced.jaxpr, given=given is not None)
    self._run = traced.lower().compile()

  def _inputs(self, start):
    local = sharding.local_rows(self._mesh, self.size)
    own = np.arange(start, start + self.size)[local]
    told = {name: np.take(one, own, axis=0, mode='wrap') for name, one in self._told.items()}
    inputs = [self._labels(start, self.size)[local], told]
    if self._given is not None:
      inputs.append(given_at(self._parts, self._given, own))
    return self._keys(np.int32(start)), *sharding.put_batch(self._mesh, inputs, self.size)

  def _labels(self, start, num):
    if self._asked is None:
      return balanced_labels(self._parts.spec.num_classes, start, num)
    return np.take(self._asked, np.arange(start, start + num), mode='wrap')

  def sample(
    self, start, num, *, progress=None
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(tokens [num, N, ..] in raster order, labels [num], network calls [num], seconds of sampling,
    compilation excluded)."""
    start, num = asked.count('start', start, least=0), asked.count('num', num)
    tokens, calls, seconds = [], [], 0.0
    for first in range(start, start + num, self.size):
      inputs = jax.block_until_ready(self._inputs(first))
      begun = time.perf_counter()
      x, called = jax.block_until_ready(self._run(self._params, *inputs))
      seconds += time.perf_counter() - begun
      tokens.append(jax.tree.map(np.asarray, x))
      calls.append(np.asarray(called))
      if progress is not None:
        progress.update(min(self.size, start + num - first))
    tokens = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:num], *tokens)
    check_finite(tokens)
    return (
      self._parts.blocks.to_raster(tokens),
      self._labels(start, num),
      np.concatenate(calls)[:num],
      seconds,
    )


def given_at(parts: build.Parts, given: Held, index) -> Held:
  """What is given of examples `index` [B], in a circle, in block order."""
  tokens, known = jax.tree.map(lambda leaf: np.take(leaf, index, axis=0, mode='wrap'), given)
  blocks = parts.blocks
  return Held(blocks.from_raster(tokens), None if known is None else blocks.from_raster(known))


def check_finite(tokens) -> None:
  """Raises FloatingPointError for samples of a model that diverged."""
  if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tokens)):
    raise FloatingPointError(
      'the samples are not finite; train longer, lower optim.learning_rate, or set '
      'process.clip=1.0'
    )


def to_folder(parts: build.Parts, params, folder, *, batch, seed, step) -> str:
  """Exports the sampler: `exported.Sampler(folder)` makes what `Sampler` makes. All hosts of a job
  call it, and the first one writes."""
  check_batch(parts, batch)
  if parts.spec.further:
    raise ValueError(
      'an exported sampler is told labels alone, and this model can be told '
      f'{", ".join(parts.spec.further)}; use --mode=sample, or adiff.load'
    )
  sample = make_sampler(parts)

  def run(params, seed, start, labels):
    x, _ = sample(params, example_keys(seed, start, batch), labels)
    return parts.blocks.to_raster(x)

  params = jax.tree.map(sharding.whole, params)
  return hosts.by_first(lambda: exported.write(
    folder, run, params, batch=batch, seed=seed,
    labels=balanced_labels(parts.spec.num_classes, 0, max(parts.spec.num_classes, 1)),
    codec=codecs.as_choice(parts.config.codec.name, parts.coded.codec),
    about={
      'step': step, 'contract': parts.contract, 'facts': facts_file.told(parts.source.facts),
    },
  ))
