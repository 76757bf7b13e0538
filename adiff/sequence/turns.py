"""What is known of loops and branches that data decide, for machine/cost.py to read in the program:

  with turns.loop('rows', most=7):
    state = jax.lax.while_loop(unfinished, advance, state)

The program computes the same. NAME is what `count` is told by where more is known: how often a loop
turns, or in what share of the cases a branch is taken, on average.
"""

import contextlib
import re

import jax

_SCOPE = re.compile(r'turns:(\w+):([\d.e+-]*)')


def loop(name, most) -> contextlib.AbstractContextManager:
  """The scope of one while_loop, or fori_loop of unknown length, of at most `most` turns."""
  return jax.named_scope(f'turns:{name}:{most}')


def branch(name, share='') -> contextlib.AbstractContextManager:
  """The scope of one cond of two branches. share: of the cases in which its flag holds, where that
  is known."""
  return jax.named_scope(f'turns:{name}:{share}')


def found(scopes) -> tuple[str | None, float | None]:
  """(name, the number beside it) of the innermost scope among a program's `scopes`, a string; None:
  there is none."""
  for name, number in reversed(_SCOPE.findall(scopes)):
    return name, float(number) if number else None
  return None, None
