"""Noise on tokens of several kinds: each kind has a process of its own.

Given its level a token is noised by itself, so the noise of a sequence of several kinds is that of
each kind, and so are loss, bound and step: everything is delegated to the kind of the token. `out`
is Tokens, too: of each kind the outputs that its process takes.
"""

import dataclasses
from typing import Any

import jax

from adiff.process import base
from adiff.sequence import tokens as tokens_lib
from adiff.sequence.tokens import Tokens


@dataclasses.dataclass(frozen=True, eq=False)
class Joint(base.Process):
  """A process made of processes, one a kind of tokens."""

  kinds: dict[str, base.Process]

  @property
  def discrete(self):
    return all(own.discrete for own in self.kinds.values())

  @property
  def absorbing(self):
    return all(own.absorbing for own in self.kinds.values())

  @property
  def by_law(self):
    return any(own.by_law for own in self.kinds.values())

  @property
  def num_inputs(self):
    return tuple((kind, own.num_inputs) for kind, own in self.kinds.items())

  @property
  def num_outputs(self):
    return tuple((kind, own.num_outputs) for kind, own in self.kinds.items())

  @property
  def criterion(self):
    return {kind: own.criterion for kind, own in self.kinds.items()}

  def of(self, kind):
    return self.kinds[kind]

  def prior(self, key, shape):
    batch, runs = shape

    def prior(kind, key):
      num = len(tokens_lib.places(runs)[kind])
      return self.kinds[kind].prior(key, (batch, num))

    return Tokens(tokens_lib.each(prior, runs, key), runs)

  def add_noise(self, key, x0, t):
    return self._tokens('add_noise', x0.runs, key, x0, t)

  def x0_hat(self, out, xt, t):
    return self._tokens('x0_hat', xt.runs, out, xt, t)

  def loss(self, out, x0, xt, t):
    return self._values('loss', x0.runs, out, x0, xt, t)

  def carries(self, xt, t):
    return self._values('carries', xt.runs, xt, t)

  def step(self, key, out, xt, t, s):
    return self._tokens('step', xt.runs, key, out, xt, t, s)

  def bound_noise(self, key, x0, u, blocks, free):
    def noise(kind, key, x0, free):
      own = u[:, blocks.blocks_of[kind]]
      return self.kinds[kind].bound_noise(key, x0, own, blocks.only(kind), free)

    found = tokens_lib.each(noise, x0.runs, key, x0, free)
    xt = Tokens({kind: own for kind, (own, _) in found.items()}, x0.runs)
    return xt, tokens_lib.gather({kind: own for kind, (_, own) in found.items()}, x0.runs)

  def bound_known(self, xt, t, blocks, free):
    def known(kind, xt, t, free):
      return self.kinds[kind].bound_known(xt, t, blocks.only(kind), free)

    found = tokens_lib.each(known, xt.runs, xt, t, free)
    weight, levels = ({kind: own[i] for kind, own in found.items()} for i in range(2))
    return (
      tokens_lib.gather(weight, blocks.runs_of_blocks), tokens_lib.gather(levels, xt.runs)
    )

  def bound(self, out, x0, xt, t):
    return self._values('bound', x0.runs, out, x0, xt, t)

  def beside_levels(self, x0, xt, t):
    return self._values('beside_levels', x0.runs, x0, xt, t)

  def _each(self, method, runs, *args) -> dict[str, Any]:
    """{kind: the method of its process, of what the kind has of args}."""
    def call(kind, *own):
      return getattr(self.kinds[kind], method)(*own)

    return tokens_lib.each(call, runs, *args)

  def _tokens(self, method, runs, *args) -> Tokens:
    return Tokens(self._each(method, runs, *args), runs)

  def _values(self, method, runs, *args) -> jax.Array:
    """[B, N]."""
    return tokens_lib.gather(self._each(method, runs, *args), runs)
