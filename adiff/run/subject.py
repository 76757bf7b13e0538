"""What a judge may ask, answered by a trained model: see judge/base.py."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator

import numpy as np
import tqdm

from adiff.judge import base, subset
from adiff.run import (
  build,
  directions,
  editing,
  estimates,
  generate,
  loss_profile,
  overrides,
  sequences,
)
from adiff.sequence import conditions

ROWS = 64  # of the evaluated split that the loss profile is measured on


def data(parts: build.Parts) -> str:
  """Which data in which split, in words."""
  config = parts.config
  return f'{config.data.name} {parts.coded.fingerprint}, {config.eval.split} split'


@contextlib.contextmanager
def telling(progress) -> Iterator[Callable[[str], None]]:
  """A function that shows on the terminal what is being done."""
  bar = tqdm.tqdm(bar_format='judge {desc} [{elapsed}]', disable=not progress, leave=False)
  with bar:
    yield bar.set_description_str


def make(
  parts: build.Parts, params, mesh, *, workdir, bound, attempt, tell, reference=base.new,
  sampler=None, progress=False
) -> base.Subject:
  """bound: what evaluate.Bound says of the parameters. sampler: generate.make_sampler as the config
  says, where it is traced already. attempt, tell, reference: as in base.Subject."""
  config, coded, spec = parts.config, parts.coded, parts.spec
  text = spec.medium == 'text'
  profile = functools.cache(lambda: _profile(parts, params, mesh, progress) if text else None)

  def sample(*, steps=None, solver=None, labels=None, told=None, given=None):
    other, traced = parts, sampler if steps in (None, config.plan.steps) else None
    if solver is not None:
      arranged = overrides.arrange(config, workdir, solver=solver, steps=steps, profile=profile())
      other, steps, traced = build.build(arranged, coded), None, None
    if given is not None:
      other, traced = directions.toward(other, tuple(given)), None
      given = directions.held(other, given)
    return _sample(
      other, params, mesh, steps=steps, asked=_asked(parts, labels, told), given=given,
      sampler=traced, progress=progress,
    )

  return base.Subject(
    data=data(parts),
    split=config.eval.split,
    seed=config.seed,
    num=config.eval.num,
    steps=config.plan.steps,
    solver=config.solver.name,
    num_classes=spec.num_classes,
    num_tokens=parts.blocks.num_tokens,
    bound=bound,
    sample=sample,
    fill=_filling(parts, params, mesh, progress),
    rate=_rating(parts, params, mesh),
    blocks=None if spec.by_kind else parts.blocks.to_raster(parts.blocks.block_of_token, axis=0),
    layout=coded.codec.layout(),
    in_place=coded.codec.in_place,
    trace=lambda num: _trace(parts, params, mesh, num),
    size=coded.size,
    tokens=coded.examples,
    examples=parts.source.examples,
    decode=coded.decode,
    levels=parts.source.facts.levels,
    law_test=parts.source.law_test,
    corpus=parts.source.corpus if text else None,
    tokenizer=coded.codec if text else None,
    codec=config.codec.name,
    profile=profile,
    attempt=attempt,
    tell=tell,
    reference=reference,
  )


def _filling(parts, params, mesh, progress):
  """As Subject.fill."""
  def fill(tokens, hole, labels=None):
    held = generate.Held(tokens, np.broadcast_to(~hole, tokens.shape[:2]))
    return _sample(
      _around(parts, hole), params, mesh, steps=None, asked=_asked(parts, labels, None), given=held,
      sampler=None, progress=progress,
    )

  return fill


def _rating(parts, params, mesh):
  """As Subject.rate, of networks that denoise and are told labels alone."""
  if not parts.recipe.denoises or parts.spec.further:
    return None

  @functools.cache
  def bound(given):
    ordered = directions.toward(parts, given) if given else parts
    return ordered.plan.given, estimates.bound(ordered, mesh)

  def rate(tokens, labels, given=()):
    first, estimate = bound(given)
    told = {conditions.LABEL: labels}
    return estimate.of(params, tokens, told, samples=parts.config.eval.samples)[:, first:]

  return rate


def batch_size(parts: build.Parts) -> int:
  """Samples that are made together for a report."""
  return min(parts.config.eval.num, 512)


def _asked(parts, labels, told):
  """(labels, told) of samples: those of held-out examples where there is more to tell than a label
  and nobody says what."""
  if told is not None or not parts.spec.further:
    return labels, told
  split, num = parts.config.eval.split, parts.config.eval.num
  chosen = np.resize(subset.spread(parts.coded.size(split), num), num)
  found = parts.coded.examples(split, chosen)
  return found[conditions.LABEL], {name: found[name] for name in parts.spec.further}


def _around(parts, hole):
  """The parts of a walk that makes the tokens hole [N] alone, in raster order. Raises ValueError
  where it would not take all others into account."""
  blocks = parts.blocks
  hole = blocks.from_raster(hole, axis=0)
  editing.check_given(blocks, hole, ~hole)
  first = int(blocks.block_of_token[hole].min())
  return dataclasses.replace(parts, plan=dataclasses.replace(parts.plan, given=first))


def _sample(parts, params, mesh, *, steps, asked, given, sampler, progress):
  """eval.num samples at `steps` a block (None: as the config says), and what they cost."""
  config, (labels, told) = parts.config, asked
  plan = parts.plan
  if steps is not None:
    plan = dataclasses.replace(sequences.plan(config, parts.blocks, steps=steps), given=plan.given)
  made = generate.Sampler(
    parts, params, mesh, plan=plan, seed=config.seed, batch_size=batch_size(parts),
    labels=labels, told=told, traced=sampler, given=given,
  )
  bar = tqdm.tqdm(
    total=config.eval.num, desc=f'samples, {plan.budgets[-1]} steps a block',
    disable=not progress, leave=False,
  )
  with bar:
    tokens, labels, calls, seconds = made.sample(0, config.eval.num, progress=bar)
  cost = made.cost if parts.in_turn else None
  return base.Sampled(
    tokens, labels, config.seed, config.plan.steps if steps is None else steps,
    nfe=float(calls.mean()), seconds=seconds,
    gflop=None if cost is None else cost.flops / made.size / 1e9,
    gflop_is=None if cost is None else cost.said,
    cache_kib=None if cost is None else cost.cache_bytes / made.size / 2**10,
  )


def _trace(parts, params, mesh, num):
  """The walk of the first `num` samples."""
  labels, told = _asked(parts, None, None)
  if labels is None:
    labels, told = generate.balanced_labels(parts.spec.num_classes, 0, num), {}
  told = generate.in_blocks(parts, {name: one[:num] for name, one in told.items()})
  walk = generate.make_sampler(parts, mesh=mesh, trace=True)
  rows = walk(params, generate.example_keys(parts.config.seed, 0, num), labels[:num], told)
  blocks = parts.blocks
  tokens, hidden = blocks.to_raster(np.asarray(rows), axis=2), None
  mask_id = parts.process.mask_id
  if mask_id is not None:
    hidden = tokens == mask_id
    tokens = np.where(hidden, mask_id - 1, tokens)  # a symbol that can be decoded
  elif parts.process.by_law:
    hidden, tokens = np.isnan(tokens).any(-1), np.nan_to_num(tokens)
  return base.Trace(
    tokens, hidden, blocks.to_raster(blocks.block_of_token, axis=0), parts.plan.starts,
    max(parts.plan.budgets), parts.plan.matrix[1:],
  )


def _profile(parts, params, mesh, progress):
  """{'nats', 'error'} of one masked token by the number of masked ones in its block, or None."""
  if not loss_profile.has_profile(parts):
    return None
  config = parts.config
  wanted = config.eval.examples if config.eval.examples else ROWS  # 0: all
  rows = subset.spread(parts.coded.size(config.eval.split), min(ROWS, wanted))
  nats = loss_profile.measure(parts, params, mesh, rows, samples=2, progress=progress)
  error = nats.std(0, ddof=1) / len(nats) ** 0.5
  return {'nats': nats.mean(0).tolist(), 'error': error.tolist()}
