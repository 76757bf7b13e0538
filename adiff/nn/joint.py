"""A head for tokens of several kinds: one of its own for each."""

import dataclasses

from adiff.sequence import ask as ask_lib
from adiff.sequence import head as head_lib
from adiff.sequence import tokens as tokens_lib
from adiff.sequence.tokens import Tokens


@dataclasses.dataclass(frozen=True, eq=False)
class Joint(head_lib.Head):
  """{kind: its head}; outputs are Tokens."""

  heads: dict[str, head_lib.Head]

  def init(self, key, width, num_outputs):
    return {
      kind: self.heads[kind].init(tokens_lib.fold(key, kind), width, num)
      for kind, num in num_outputs
    }

  def bind(self, params, dtype):
    return Joint({kind: head.bind(params[kind], dtype) for kind, head in self.heads.items()})

  def chunks(self, num_outputs):
    return min(self.heads[kind].chunks(num) for kind, num in num_outputs)

  def read(self, h, ask):
    def read(kind, h):
      return self.heads[kind].read(h, ask)

    runs = answered(h, ask)
    return Tokens(tokens_lib.each(read, runs, h), runs)

  def needs(self, parts):
    for kind, head in self.heads.items():
      head.needs(parts.of(kind))

  def bound(self, h, key, ask, x0):
    def bound(kind, h, key, x0):
      return self.heads[kind].bound(h, key, ask, x0)

    runs = answered(h, ask)
    return Tokens(tokens_lib.each(bound, runs, h, key, x0), runs)

  def combined(self, out, weights):
    def combined(kind, out, *weights):
      return self.heads[kind].combined(out, weights)

    return Tokens(tokens_lib.each(combined, out.runs, out, *weights), out.runs)

  def law(self, out):
    return Tokens({kind: self.heads[kind].law(own) for kind, own in out.parts.items()}, out.runs)

  def loss(self, h, key, ask, objective, weight, *tokens):
    def loss(kind, h, key, weight, *tokens):
      return self.heads[kind].loss(h, key, ask, objective[kind], weight, *tokens)

    runs = answered(h, ask)
    found = tokens_lib.each(loss, runs, h, key, weight, *tokens)
    values = tokens_lib.gather({kind: value for kind, (_, value) in found.items()}, runs)
    return sum(total for total, _ in found.values()), values


def answered(h, ask: ask_lib.Ask) -> tokens_lib.Runs:
  """Which kinds the slots of features h [B, T, W] are of, see ask.Answer."""
  runs, num = tokens_lib.runs_of(ask.x), h.shape[1]
  first = ask.x.shape[1] - num if ask.keep else 0
  return tokens_lib.between(runs, first, first + num)
