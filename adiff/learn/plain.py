"""Gradient descent on the loss of a denoiser."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from adiff.learn import base, objectives, only_read
from adiff.learn import lessons as lessons_lib
from adiff.learn import loss as loss_lib
from adiff.learn import microbatches as microbatches_lib
from adiff.learn import state as state_lib
from adiff.nn import network as network_lib
from adiff.process import base as process_base
from adiff.sequence import ask as ask_lib
from adiff.sequence import blocks as blocks_lib
from adiff.sequence import conditions, hidden
from adiff.sequence import draw as draw_lib
from adiff.sequence import tokens as tokens_lib

# Whoever asks for shapes, costs or a program of one recipe shares one trace: a second of a start.
_traced_once = functools.partial(jax.jit, static_argnums=0)

# (params, rows of a micro-batch, key, index of the blocks, whole) -> (its part of the loss [], what
# is logged of it): see Plain.share
Share = Callable[..., tuple[jax.Array, dict[str, loss_lib.Mean]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Plain(base.Recipe):
  """Gradient descent on `loss.loss`, with an average of the parameters.

  blocks, draw: several of each make one network that serves them all: the batch is dealt out among
  them.
  microbatches: parts of a batch, one after another, each with its own noise.
  cond_dropout: share of examples that lose all their conditions, decided once an example;
  cond_dropouts: (name, share) of those that lose one condition, besides, each by itself.
  history_cond: do history slots carry the condition? See conditions.over_slots.
  lessons: what is made of a batch before its loss, one after another.
  weights: {kind: weight of its tokens in the loss}, where it is not 1; see only_read.py.
  hints: what the network is shown of tokens besides, see network.Hints; None: nothing.
  hides: {kind: share of examples that train with it hidden in their history}, see hidden.py.
  complementary, next_token: see objectives.py; next_token is the weight of its term, 0: none.
  """

  model: network_lib.Network
  tx: optax.GradientTransformation
  blocks: tuple[blocks_lib.Blocks, ...]
  process: process_base.Process
  draw: tuple[draw_lib.Draw, ...]
  coords: np.ndarray
  ema: float
  cond_dropout: float
  microbatches: int
  history_cond: bool
  cond_dropouts: tuple[tuple[str, float], ...] = ()
  lessons: tuple[lessons_lib.Lesson, ...] = ()
  complementary: bool = False
  next_token: float = 0.0
  weights: dict[str, float] = dataclasses.field(default_factory=dict)
  hides: dict[str, float] = dataclasses.field(default_factory=dict)
  hints: network_lib.Hints | None = None

  several_kinds = True
  several_sizes = True

  def needs(self, parts):
    batch, sizes = parts.config.train.batch_size, len(self.blocks)
    base.check_microbatches(parts.config.train)
    if batch % (sizes * self.microbatches):
      raise ValueError(
        f'train.batch_size={batch} must be a multiple of {sizes} block sizes times '
        f'{self.microbatches} micro-batches'
      )
    for name, _ in self.cond_dropouts:
      if name not in self.model.conds:
        raise ValueError(
          f'config.train.cond_dropouts hides {name!r}, and {parts.config.data.name} has '
          f'{", ".join(self.model.conds) or "no conditions"}; name one of these, or write ()'
        )
    if only_read.count(self.blocks[0], self.weights) == self.blocks[0].num_blocks:
      raise ValueError('config.kinds: no kind of tokens weighs anything; leave one its weight of 1')
    for kind in self.hides:
      if self.process.of(kind).mask_id is None or self.blocks[0].history is None:
        raise ValueError(
          f'config.kinds.{kind}.dropout hides a kind in the history copy, by its mask; write a '
          'process that masks and a level as history, or dropout=0.0'
        )
    if self.next_token and not self.process.discrete:
      raise ValueError('config.train.next_token is a loss on symbols; set it to 0 for floats')
    if self.complementary and not self.process.absorbing:
      raise ValueError(
        'config.train.complementary hides what masking showed; process '
        f'{parts.config.process.name} masks nothing: set it to False'
      )

  @_traced_once
  def init(self, key):
    params = self.fresh(key, self.model)
    return state_lib.create({base.DENOISER: params}, {base.DENOISER: self.tx})

  def fresh(self, key, model) -> Any:
    """Parameters of a network that is asked as this recipe's own is."""
    slots = self.blocks[0].token_slots(self.coords)
    key_params, key_x = jax.random.split(key)
    x = self.process.prior(key_x, self.blocks[0].shape(1))
    return model.init(key_params, ask_lib.Ask(x, jnp.zeros(x.shape[:2]), slots))

  def network(self, params, role=base.DENOISER, *, key=None, loops=False):
    assert role == base.DENOISER, f'{role} is no role of Plain'
    return self.model.denoise(params, key=key, loops=loops)

  def served(self, state):
    return state.ema[base.DENOISER]

  def batch(self, size):
    def tokens(key):
      return self.process.prior(key, self.blocks[0].shape(size))

    tokens = jax.eval_shape(tokens, jax.eval_shape(lambda: jax.random.key(0)))
    told = conditions.nothing(self.model.conds, size, self.blocks[0].num_tokens)
    told = {name: jax.ShapeDtypeStruct(one.shape, one.dtype) for name, one in told.items()}
    return {'tokens': tokens, conditions.LABEL: base.label(size), **told}

  def often(self, batch):
    """The share of the head's chunks with tokens that carry loss; weights are not known here."""
    chunks = self.model.head.chunks(self.process.num_outputs)
    if chunks == 1:
      return {}

    def carrying(blocks, draw):
      x0 = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), batch['tokens'])
      t = blocks.per_token(draw(jax.random.key(0), (batch['label'].shape[0], blocks.num_blocks)))
      xt = self.process.add_noise(jax.random.key(1), x0, t)
      return np.mean(self.process.carries(xt, t))

    shares = list(map(carrying, self.blocks, self.draw))
    return {'chunk': math.ceil(np.mean(shares) * chunks) / chunks}

  @_traced_once
  def update(self, state, batch: dict[str, Any], key):
    return self.moved(state, *self.gradient(state.params[base.DENOISER], batch, key, self.share))

  def moved(self, state, grads, scalars) -> tuple[state_lib.State, dict[str, jax.Array]]:
    """(state, scalars) after the step that `gradient` asks for; other roles stay as they are."""
    role, params = base.DENOISER, state.params[base.DENOISER]
    updates, opt = self.tx.update(grads, state.opt[role], params)
    params = optax.apply_updates(params, updates)
    ema = state_lib.update_ema(state.ema[role], params, step=state.step, decay=self.ema)
    norm = optax.global_norm(grads)
    finite = jnp.isfinite(scalars['loss']) & jnp.isfinite(norm)
    state = state.replace(
      step=state.step + 1, params={**state.params, role: params}, ema={**state.ema, role: ema},
      opt={**state.opt, role: opt},
    )
    return state, {**scalars, 'grad_norm': norm, 'finite': finite}

  def gradient(self, params, batch, key, share: Share) -> tuple[Any, dict[str, jax.Array]]:
    """(gradient, {name: scalar or curve}) of a batch, all block sizes and micro-batches together:
    their sums, divided once by the weights of the whole batch. Curves are those of blocks[0].

    share: what one micro-batch contributes, `Plain.share` or that of another recipe.
    """
    num = len(self.blocks)
    keys = [key] if num == 1 else [jax.random.fold_in(key, index) for index in range(num)]
    dealt = [
      batch if num == 1 else jax.tree.map(lambda leaf, i=index: leaf[i::num], batch)
      for index in range(num)
    ]
    parts = [
      self._parts(own, key, index) for index, (own, key) in enumerate(zip(dealt, keys, strict=True))
    ]
    whole = _sum([self._counts(own) for own in parts])
    grads, means = zip(*(
      self._gradient(share, params, parts[index], keys[index], index, whole) for index in range(num)
    ), strict=True)
    scalars = loss_lib.scalars(
      means[0] | _sum([{name: own[name] for name in whole} for own in means]), self.term
    )
    if num > 1:
      for blocks, own in zip(self.blocks, means, strict=True):
        scalars[f'loss_{_called(blocks)}'] = loss_lib.scalars(own, self.term)['loss']
    return _sum(grads), scalars

  def _parts(self, batch, key, index):
    """The micro-batches of a batch as its loss takes them, cut into blocks[index]: leaves
    [M, B / M, ..], or [B, ..] where there is one."""
    if self.microbatches == 1:
      return self.taught(batch, jax.random.fold_in(key, 0), index)
    parts = microbatches_lib.split(batch, self.microbatches)
    if not (self.lessons or self.complementary or self.weights or self._moved(index)):
      return parts

    def teach(numbered):
      part, rows = numbered
      return self.taught(rows, jax.random.fold_in(key, part), index)

    return jax.lax.map(teach, (jnp.arange(self.microbatches), parts))

  def _counts(self, parts):
    """{name: []} of all of `_parts`, see loss.counts."""

    def count(rows):
      shape, documents = rows['tokens'].shape[:2], lessons_lib.documents(rows)
      return loss_lib.counts(shape, rows.get('weight'), documents, self.term)

    if self.microbatches == 1:
      return count(parts)
    return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), jax.vmap(count)(parts))

  def _gradient(self, share, params, parts, key, index, whole):
    """(gradient, {name: Mean}) of `_parts` cut into blocks[index], added up."""

    def gradient_of(part, rows):
      key_part = jax.random.fold_in(key, part)
      return jax.grad(share, has_aux=True)(params, rows, key_part, index, whole)

    if self.microbatches == 1:
      return gradient_of(0, parts)

    def add(total, numbered):
      grads, means = gradient_of(*numbered)
      return jax.tree.map(jnp.add, total, grads), means

    zeros = jax.tree.map(jnp.zeros_like, params)
    grads, means = jax.lax.scan(add, zeros, (jnp.arange(self.microbatches), parts))
    return grads, jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), means)

  @property
  def term(self) -> objectives.NextToken | None:
    """What is added to the loss."""
    return objectives.NextToken(self.next_token) if self.next_token else None

  def taught(self, rows, key, index=0) -> dict[str, Any]:
    """The rows of one micro-batch as its loss takes them, cut into blocks[index]: behind all
    lessons, in the order of these blocks, with the weights of their kinds. key: the
    micro-batch's."""
    for number, lesson in enumerate(self.lessons):
      rows = lesson(jax.random.fold_in(key, 3 + number), rows)
    rows = self._ordered(rows, index)
    return objectives.doubled(rows) if self.complementary else rows

  def _moved(self, index) -> bool:
    """Have blocks[index] another order than batches?"""
    return self.blocks[index].order != self.blocks[0].order

  def _ordered(self, rows, index):
    """Rows, which are in the order of blocks[0], in that of blocks[index], with the weights of
    their kinds."""
    first, blocks, conds = self.blocks[0], self.blocks[index], self.model.conds

    def ordered(name, leaf):
      per_token = conds[name].per_token if name in conds else len(leaf.shape) > 1
      return blocks.from_raster(first.to_raster(leaf)) if per_token else leaf

    if self._moved(index):
      rows = {name: ordered(name, leaf) for name, leaf in rows.items()}
    if not self.weights:
      return rows
    own = np.repeat([self.weights.get(kind, 1.0) for kind in blocks.kinds], blocks.sizes)
    weight = rows.get('weight', jnp.ones(rows['tokens'].shape, jnp.float32))
    return {**rows, 'weight': weight * jnp.asarray(own, jnp.float32)[None]}

  def objective(self, params, rows, key, index=0) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(loss, scalars) of rows that are a batch by themselves, cut into blocks[index]."""
    loss, means = self.share(params, self.taught(rows, key, index), key, index)
    return loss, loss_lib.scalars(means, self.term)

  def share(
    self, params, rows, key, index=0, whole=None
  ) -> tuple[jax.Array, dict[str, loss_lib.Mean]]:
    """(loss, {name: Mean}) of one micro-batch that was `taught`, cut into blocks[index], with noise
    of its own; whole: see loss.loss."""
    key_loss, key_cond, key_drop = jax.random.split(key, 3)
    denoise = self._conditioned(params, rows, key_cond, key_drop)
    for kind, share in self.hides.items():
      chance = jax.random.uniform(tokens_lib.fold(key_cond, kind), (len(rows['tokens']),))
      denoise = self._hiding(denoise, chance < share, kind)
    if num := only_read.count(self.blocks[index], self.weights):
      denoise = only_read.leave_out(denoise, self.blocks[index], num)
    seen = rows.get('history', rows['tokens'])
    denoise = network_lib.hinted(denoise, self.hints, seen)
    return loss_lib.loss(
      denoise, key_loss, rows['tokens'],
      blocks=self.blocks[index], process=self.process, draw=self.draw[index], coords=self.coords,
      weight=rows.get('weight'), documents=lessons_lib.documents(rows), given=rows.get('given'),
      history=rows.get('history'),
      corrupt=objectives.complementary if self.complementary else None,
      term=self.term, whole=whole,
    )

  def _hiding(self, denoise, rows, kind):
    """The network that does not see a kind in the history of the examples rows [B]."""
    masks = {kind: self.process.of(kind).mask_id}
    return denoise._replace(trunk=lambda ask: denoise.trunk(hidden.hide(ask, rows, masks)))

  def _conditioned(self, params, rows, key_cond, key_drop) -> ask_lib.Denoise:
    """The network with dropout, conditions hidden at their rates, and its own estimate where it is
    made to be shown one."""
    cond = self.cond(rows, key_cond)
    denoise = self.under(params, cond, key_drop)
    if not self.model.num_hints:
      return denoise
    key_half = jax.random.fold_in(key_cond, 1)
    return network_lib.self_condition(denoise, self.under(params, cond), self.process, key_half)

  def under(self, params, cond, key=None) -> ask_lib.Denoise:
    """The network under conditions {name: value of examples}; key: turns dropout on."""
    return network_lib.condition(
      self.network(params, key=key), cond, history_cond=self.history_cond
    )

  def cond(self, rows, key) -> dict[str, jax.Array]:
    """The conditions of rows, hidden at their rates."""
    return self._dropped(conditions.of(rows, self.model.conds), key)

  def _dropped(self, cond, key) -> dict[str, jax.Array]:
    """Conditions of examples, some of them hidden: all together, or by itself."""
    batch = len(cond[conditions.LABEL])
    hidden = jax.random.uniform(key, (batch,)) < self.cond_dropout
    cond = {name: conditions.hide(value, hidden) for name, value in cond.items()}
    for index, (name, share) in enumerate(self.cond_dropouts):
      hidden = jax.random.uniform(jax.random.fold_in(key, 2 + index), (batch,)) < share
      cond[name] = conditions.hide(cond[name], hidden)
    return cond


def _called(blocks) -> str:
  """How the loss of these blocks is called, where the network learns several."""
  if blocks.kinds is None:
    return f'block{blocks.sizes[0]}'
  return '_'.join(dict.fromkeys(blocks.kinds))


def _sum(trees) -> Any:
  """Trees of one shape, added leaf by leaf."""
  return jax.tree.map(lambda *leaves: sum(leaves[1:], leaves[0]), *trees)
