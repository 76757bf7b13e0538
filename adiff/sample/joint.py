"""Solvers for tokens of several kinds: each kind has its own."""

import dataclasses

import jax.numpy as jnp

from adiff.sample.solvers import base
from adiff.sequence import tokens as tokens_lib
from adiff.sequence.tokens import Tokens


@dataclasses.dataclass(frozen=True, eq=False)
class Joint(base.Solver):
  """{kind: its solver}. Where tokens of several kinds are in flight at once, a solver that asks
  more than once a step moves its own kind in between, and the others wait where they are."""

  solvers: dict[str, base.Solver]

  @property
  def calls(self):
    return max(solver.calls for solver in self.solvers.values())

  @property
  def adaptive(self):
    return any(solver.adaptive for solver in self.solvers.values())

  def needs(self, parts):
    for kind, solver in self.solvers.items():
      solver.needs(parts.of(kind))

  def level(self, process, x, t, s):
    def level(kind, x, t, s):
      return self.solvers[kind].level(process.of(kind), x, t, s)

    return tokens_lib.gather(tokens_lib.each(level, x.runs, x, t, s), x.runs)

  def ahead(self, x, level, s):
    def ahead(kind, *own):
      return self.solvers[kind].ahead(*own)

    return tokens_lib.gather(tokens_lib.each(ahead, x.runs, x, level, s), x.runs)

  def asks(self, s, runs=()):
    dealt = tokens_lib.deal(s, runs, axis=-1)
    own = {kind: self.solvers[kind].asks(part) for kind, part in dealt.items()}
    return tokens_lib.gather(own, runs, axis=-1)

  def finished(self, process, x):
    def finished(kind, x):
      return self.solvers[kind].finished(process.of(kind), x)

    return tokens_lib.gather(tokens_lib.each(finished, x.runs, x), x.runs)

  def init(self, x):
    return Tokens({kind: self.solvers[kind].init(own) for kind, own in x.parts.items()}, x.runs)

  def step(self, call, out, process, key, x, t, s, memory, narrow=base.uncut):
    def step(kind, out, key, own, own_t, own_s, memory):
      def own_call(*asked):
        return call(*_among(kind, asked, (x, t, s), x.runs)).parts[kind]

      cut = narrow if process.of(kind).discrete else base.uncut
      return self.solvers[kind].step(
        own_call, out, process.of(kind), key, own, own_t, own_s, memory, cut
      )

    found = tokens_lib.each(step, x.runs, out, key, x, t, s, memory)
    made, kept = ({kind: own[i] for kind, own in found.items()} for i in range(2))
    return Tokens(made, x.runs), Tokens(kept, x.runs)


def _among(kind, asked, waiting, runs):
  """(x, t, s) of all tokens: those asked for of one kind, and the others as they wait."""
  x, *levels = waiting
  levels = [
    tokens_lib.gather({**tokens_lib.deal(level, runs), kind: jnp.asarray(own)}, runs)
    for level, own in zip(levels, asked[1:], strict=True)
  ]
  return Tokens({**x.parts, kind: asked[0]}, runs), *levels
