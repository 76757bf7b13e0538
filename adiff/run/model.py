"""A trained model in the hand: to sample from, to fill holes with, to score examples.

  model = adiff.load('runs/digits')
  images = model.sample(16, label=3)

Results show themselves in a notebook.
"""

import dataclasses
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from adiff.judge import likelihood, paths
from adiff.judge.metrics import maps
from adiff.learn import base as learn_base
from adiff.learn import state
from adiff.machine import checkpoint, files
from adiff.machine import weights as weights_lib
from adiff.nn import network
from adiff.run import answers, asked, build, directions, editing, generate, kept, output
from adiff.run import examples as examples_lib
from adiff.run import workdir as workdir_lib
from adiff.sequence import conditions


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
  """A model of any medium; make it with adiff.load or adiff.train."""

  parts: build.Parts
  params: Any
  workdir: str = ''  # that it was loaded from
  step: int = 0  # of its checkpoint

  # ---- Sampling ---------------------------------------------------------------------------------

  def sample(
    self, num, *, label=None, cond=None, seed=0, batch=64, progress=True
  ) -> answers.Samples:
    """`num` examples. label: a class's number or name, of all or one each; None: balanced where
    there are classes. cond: {name: value} of further conditions, of all or one each, see
    sequence/conditions.py; what is not there is not asked for. Example i of a seed is the same
    whatever num and batch are."""
    num, seed = asked.examples(num), asked.seed(seed)
    labels, told = self._labels(label, num), self._told(cond, num)
    size, done, tokens, calls = min(asked.count('batch', batch), num), 0, [], []
    with tqdm.tqdm(total=num, unit='sample', delay=2, disable=not progress, leave=False) as bar:
      while done < num:
        index = np.minimum(np.arange(done, done + size), num - 1)
        keys = jax.vmap(lambda i: state.stream(seed, 'sample', i))(index)
        here = {name: value[index] for name, value in told.items()}
        x, called = self._sampler()(self.params, keys, labels[index], here)
        tokens.append(jax.tree.map(lambda leaf, done=done: np.asarray(leaf)[:num - done], x))
        calls.append(np.asarray(called)[:num - done])
        done += size
        bar.update(len(calls[-1]))
    tokens = jax.tree.map(lambda *leaves: np.concatenate(leaves), *tokens)
    return self._samples(tokens, labels, np.concatenate(calls))

  def given(self, **parts) -> directions.Given:
    """The model with some parts of examples given, {kind: [n, ..]}: it samples and scores the
    others. Raises ValueError where the network has not learnt an order of blocks in which they come
    first."""
    toward = directions.toward(self.parts, tuple(parts))
    return directions.Given(toward, self.params, examples_lib.of_kinds(toward, parts))

  def fill(
    self, example, mask, *, num=1, label=None, cond=None, seed=0, resamples=0
  ) -> answers.Samples:
    """`num` examples that are `example` where mask is False; mask: bool, of its shape or of its
    first axes. A token with a masked value in it is made anew as a whole.

    resamples: how often each step is made again, for a network of one block of floats that has not
    learnt with tokens given (train.given), see sample/repaint.py.
    Raises ValueError where a block would have to read tokens that come after it.
    """
    mask = np.asarray(mask, bool)[None]
    given, hole = editing.opened(self.parts, np.asarray(example)[None], mask)
    editing.tell_untaught(self.parts, ~hole, resamples)
    return self._edited(given, ~hole, num, label, cond, seed, resamples=resamples)

  def vary(self, example, *, strength, num=1, label=None, cond=None, seed=0) -> answers.Samples:
    """`num` variations of an example: the walk begins with it, noised to the level `strength`
    (SDEdit, arXiv:2108.01073); 0: itself, 1: samples. label, cond: as in `sample`; None: not told.
    """
    editing.check_one_kind(self.parts)
    given = examples_lib.tokens(self.parts, np.asarray(example)[None])
    return self._edited(given, None, num, label, cond, seed, start=strength)

  def _edited(self, given, known, num, label, cond, seed, **plan):
    """Examples that begin with tokens [1, N, ..], of which some are known; plan: what of it is not
    the config's."""
    build.check_denoises(self.parts, 'edits no examples')
    num, keys = asked.count('num', num), generate.example_keys(asked.seed(seed), 0, num)
    labels = self._labels(-1 if label is None else label, num)
    told = self._told(cond, num)
    held = generate.given_at(self.parts, generate.Held(given, known), np.zeros(num, int))
    x, calls = self._sampler(**plan)(self.params, keys, labels, told, held)
    return self._samples(jax.tree.map(np.asarray, x), labels, np.asarray(calls))

  def enlarge(self, pictures, *, label=None, seed=0, consistent=True) -> answers.Samples:
    """A large picture for each small one of [n, h, w, C], of a network that is told the low
    resolution (codec controlled, control low). consistent: they are moved to the nearest ones whose
    low resolution is the one given, see judge/metrics/maps.py."""
    label = -1 if label is None else label
    made = self.sample(len(pictures), label=label, cond={'low': pictures}, seed=seed)
    if not consistent:
      return made
    near = maps.consistent(made.examples, np.asarray(pictures), self.parts.source.facts.levels)
    return dataclasses.replace(made, examples=near)

  def maps(self, pictures) -> dict[str, np.ndarray]:
    """{name: [n, h, w, C]} of pictures: the maps that samples can be asked for, as cond of
    `sample`."""
    return self.parts.coded.codec.maps(pictures)

  def _told(self, cond, num):
    """{name: value [num, ..]} of the conditions besides the label, in block order."""
    further, tokens = self.parts.spec.further, self.parts.spec.num_tokens
    if conditions.LABEL in (cond or {}):
      raise ValueError('cond holds what is asked for besides the label; write label=.. for that')
    codec, given = self.parts.coded.codec, {} if cond is None else cond
    given = {name: codec.asked(name, value) for name, value in given.items()}
    return generate.in_blocks(self.parts, conditions.checked(further, given, num, tokens))

  def _samples(self, tokens, labels, calls):
    """Tokens in block order, decoded."""
    generate.check_finite(tokens)
    examples = self.parts.coded.decode(self.parts.blocks.to_raster(tokens))
    return answers.Samples(examples, labels, calls, self.parts.source.facts)

  def _labels(self, label, num):
    """int32 [num]."""
    classes = self.parts.spec.num_classes
    if label is None:
      return generate.balanced_labels(classes, 0, num)
    labels = self._named(np.asarray(label))
    if labels.shape not in ((), (num,)):
      raise ValueError(
        f'label holds {labels.size} labels for {num} examples; give one of all, or one each'
      )
    if not np.issubdtype(labels.dtype, np.integer):
      raise ValueError(f'label {label} is no whole number; write that of a class')
    labels = np.broadcast_to(labels.astype(np.int32), (num,))
    if labels.min() < -1 or labels.max() >= classes:
      raise ValueError(
        f'label {label} is none of the {classes} classes; write 0 .. {classes - 1}, or -1 for none'
        if classes else 'this model was trained without labels; leave label=None'
      )
    return labels

  def _named(self, labels):
    """Labels as numbers, where some stand there by their classes' names."""
    if labels.dtype.kind != 'U':
      return labels
    names = self.parts.spec.names
    for name in labels.ravel().tolist():
      if name not in names:
        raise ValueError(
          f'label {name!r} is none of the classes '
          + (', '.join(names) if names else 'here, which have no names; write a number, or None')
        )
    return np.vectorize(names.index, otypes=[np.int32])(labels)

  @functools.cached_property
  def _sampler(self):
    """What of the plan is not the config's -> generate.make_sampler."""

    def sampler(**plan):
      return generate.make_sampler(self.parts, editing.plan(self.parts, **plan))

    return functools.cache(sampler)

  # ---- Likelihood -------------------------------------------------------------------------------

  def score(
    self, examples, *, label=None, cond=None, samples=16, orders=1, seed=0
  ) -> answers.Score:
    """How likely examples [n, ..] are: -log p in nats, or, from `samples` draws of noise, a bound
    on it, whose interval needs two or more. label, cond: as in `sample`; None: not told. orders: a
    power of two; each draw is the importance-weighted bound of so many paths (judge/paths.py)."""
    if not len(examples):
      raise ValueError('there is nothing to score; pass at least one example')
    build.check_denoises(self.parts, 'has no likelihood')
    tokens = examples_lib.tokens(self.parts, examples)
    num = len(tokens)
    labels = np.full(num, -1, np.int32) if label is None else self._labels(label, num)
    nats, ci95 = self._score(
      self.parts.blocks.from_raster(tokens), labels, None, samples, seed, orders=orders,
      told=self._told(cond, num),
    )
    return answers.Score(nats, ci95, self._exact, np.full(num, self.parts.spec.dims))


  @property
  def _exact(self):
    return likelihood.is_exact(self.parts.blocks, self.parts.process, self.parts.reveals)

  def _score(self, tokens, labels, known, samples, seed, *, told=None, orders=1, batch=32):
    """(nats [n], half width of its 95% interval [n], nan where one draw says nothing of it) of
    tokens in block order; known: see likelihood.bound."""
    cond = {conditions.LABEL: labels, **(self._told({}, len(tokens)) if told is None else told)}
    samples, seed, parts = asked.count('samples', samples), asked.seed(seed), []
    paths.needs(self.parts, asked.count('orders', orders))
    draw = self._bound if orders == 1 else functools.partial(self._weighted, orders)
    samples = 1 if self._exact else samples
    for first in range(0, len(tokens), batch):
      index = np.arange(first, first + batch) % len(tokens)
      here = jax.tree.map(lambda leaf, index=index: leaf[index], (tokens, cond, known))
      key = state.stream(seed, 'score', first)
      parts.append(np.stack([
        draw(self.params, jax.random.fold_in(key, n), *here) for n in range(samples)
      ], 1))
    nats = np.concatenate(parts)[:len(tokens)]
    if samples == 1:
      return nats[:, 0], np.full(len(nats), 0 if self._exact else np.nan)
    spread = nats.std(1, ddof=1)
    return nats.mean(1), 1.96 * spread / samples**0.5

  def _denoise(self, params, cond, tokens):
    """The network under conditions {name: [n, ..]}, of tokens [n, N, ..] in block order."""
    denoise = network.condition(
      self.parts.recipe.network(params), cond, history_cond=self.parts.history_cond
    )
    return self.parts.told(denoise, tokens)

  @functools.cached_property
  def _bound(self):
    parts = self.parts

    def bound(params, key, tokens, cond, known):
      denoise = self._denoise(params, cond, tokens)
      nats, *_ = likelihood.bound(
        denoise, key, tokens, blocks=parts.blocks, process=parts.process, coords=parts.spec.coords,
        reveals=parts.reveals if known is None else None, known=known,
      )
      return jnp.sum(nats, axis=1)

    return jax.jit(bound)

  def _weighted(self, orders, params, key, *here):
    """The importance-weighted bound [n] of so many paths."""
    drawn = [self._path(params, jax.random.fold_in(key, index), *here) for index in range(orders)]
    return paths.importance(np.stack(drawn, 1))[orders]

  @functools.cached_property
  def _path(self):
    parts = self.parts

    def path(params, key, tokens, cond, known):
      denoise = self._denoise(params, cond, tokens)
      return paths.nats(
        denoise, key, tokens, blocks=parts.blocks, process=parts.process, coords=parts.spec.coords,
        steps=parts.config.eval.chain, known=known,
      )

    return jax.jit(path)

  # ---- Keeping ----------------------------------------------------------------------------------

  def save(self, folder, *, weights=None) -> str:
    """Writes a workdir of its own, with the config as it is used here and the one checkpoint, for
    `adiff.load`; returns it. weights: float16 or float32, to keep its parameters as safetensors
    instead, see machine/weights.py. Raises ValueError where there is something already."""
    if not self.workdir:
      raise ValueError('this model was made of parts and has no checkpoint; save one of adiff.load')
    output.check_page(folder, ())
    with files.folder(folder) as draft:
      if weights is None:
        checkpoint.copy(self.workdir, self.step, draft)
      else:
        weights_lib.write(draft, self.step, self.params, learn_base.DENOISER, dtype=weights)
      own = self.parts.original
      workdir_lib.write(draft, own.config, own.contract)
      kept.write(draft, own)
    return os.fspath(folder)

  def __repr__(self):
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(self.params))
    name = self.parts.config.name or self.parts.config.data.name
    return f'{type(self).__name__}({name}, {size:,} parameters, step {self.step}, {self.workdir})'
