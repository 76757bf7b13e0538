"""Networks that are shown what a codec tells of a token once coarser ones are made: its *hint*;
or, beside it, what a solver shows (Solver.hints).

  beside   a slot carries its token and its hint, in both copies; the walk makes hints of clean,
           finished tokens, and training of the tokens that later blocks read
  alone    one stream, in which a slot carries its hint and no token (VAR, arXiv:2404.02905): half
           the slots of two, for blocks that are made in one pass from pure noise

Hints of block k are made of blocks before k, so the slot of a finished block keeps the hint that
it was made with when later blocks read it: with two streams beside its token, alone instead of it.
Alone, what a block says reaches later ones in their hints. Both walks show the same, exactly.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adiff.sequence import ask as ask_lib
from adiff.sequence import conditions, copies

NONE, BESIDE, ALONE = WAYS = ('none', 'beside', 'alone')


def needs(parts: Any) -> None:
  """Raises ValueError where there are no hints, or not of tokens that stand in blocks before."""
  way, blocks, plan, spec = parts.model.hinted, parts.blocks, parts.plan, parts.spec
  where = f'model.hinted={way}'
  if way == NONE:
    return
  if not spec.hints and parts.solver.hints and way == BESIDE:
    return
  if not spec.hints:
    raise ValueError(
      f"{where} shows what the codec tells of a token, and codec {parts.config.codec.name} tells "
      "nothing; write model.hinted='none', codec.name=pyramid, or a trained codec whose quantiser "
      'has several scales (configs/tokenizer.py:mnist_multiscale)'
    )
  if blocks.history is None or not plan.sequential or len(parts.geometries) > 1:
    raise ValueError(
      f'{where} is made of finished blocks: write history=0.0, plan.delay=None and no '
      'train.block_sizes'
    )
  if not _ordered(blocks.block_of_token, blocks.from_raster(spec.stages, axis=0)):
    raise ValueError(
      f'{where}: a hint is made of all coarser scales, and these blocks begin a scale before the '
      'ones it needs are finished; write blocks.name=scales with the sides of the codec'
    )
  once = max(plan.budgets) == 1 and parts.draw.pure_noise
  if way == ALONE and not (once and blocks.history == 0 and not blocks.causal and not (
    parts.model.num_hints or parts.config.train.given
  )):
    raise ValueError(
      f'{where} shows no token, noisy or given: it needs draw.name=ones, history=0.0, '
      'plan.steps=1, and no train.next_token, train.given or model.self_condition; or write '
      "model.hinted='beside'"
    )


def _ordered(block, stages) -> bool:
  """Are the tokens of lower stages all in earlier blocks? Of tokens [N] in block order."""
  own = [block[stages == stage] for stage in np.unique(stages)]
  return all(coarser.max() < finer.min() for coarser, finer in zip(own, own[1:]))


def nothing(ask: ask_lib.Ask, hints) -> ask_lib.Ask:
  """The Ask with zeros as hints {name: floats a token}."""
  shape = ask.x.shape[:2]
  hint = {name: jnp.zeros((*shape, num), jnp.float32) for name, num in hints.items()}
  return dataclasses.replace(ask, hint={**ask.hint, **hint})


def alone(denoise: ask_lib.Denoise) -> ask_lib.Denoise:
  """The Denoise that callers of two streams, of the plain walk and of the cached one may ask, made
  of one that sees one stream of hints."""

  def trunk(ask):
    return denoise.trunk(_one_stream(ask))

  return denoise._replace(trunk=trunk)


def _one_stream(ask: ask_lib.Ask) -> ask_lib.Ask:
  """The Ask without history copies, in which every slot is of one stream, at level 1, and read by
  later blocks."""
  slots, num_slots = ask.slots, ask.x.shape[1]
  num = num_slots
  if isinstance(slots.stream, np.ndarray):  # two streams, where a history copy is known as such
    num = int(np.argmax(np.append(slots.stream.reshape(-1), 1)))
  own = slice(0, num)
  coords = slots.coords[..., own, :]
  slots = jax.tree.map(lambda leaf: leaf[..., own], slots._replace(coords=None))
  stream = np.zeros(num, np.int32)
  stream = stream[None] if slots.segment.ndim == 2 else stream
  slots = slots._replace(coords=coords, stream=stream, readable=stream == 0)
  levels = ask.t.shape[1]
  if num < num_slots:
    levels = num if levels == num_slots else len(copies.find(slots)[0])
  return dataclasses.replace(
    ask, x=ask.x[:, own], t=jnp.ones_like(ask.t[:, :levels]), s=None, slots=slots,
    hint={name: value[:, own] for name, value in ask.hint.items()},
    cond=conditions.at(ask.cond, own),
  )
