"""Numbers that a caller asks for: what means nothing is refused in words, before anything is made.

None alone stands for a default; 0, a negative number and an empty list are answers of their own.
"""

import numbers

SEEDS = 2**32  # there are; a larger one would be that of another
EXAMPLES = 2**31 - 2**20  # have numbers of 31 bits, with those that fill up a last batch


def count(name, value, least=1) -> int:
  """`value` as an int; raises ValueError where it is no whole number of `least` or more.

  name: what the caller calls it.
  """
  if not isinstance(value, numbers.Integral) or isinstance(value, bool):
    raise ValueError(f'{name}={value!r} is no whole number; write one of {least} or more')
  if value < least:
    raise ValueError(f'{name}={value} means nothing; write {least} or more')
  return int(value)


def examples(value) -> int:
  """A number of examples as an int; raises ValueError where there are not so many."""
  if count('num', value) > EXAMPLES:
    raise ValueError(f'num={value} is too many; ask for {EXAMPLES} at most')
  return int(value)


def seed(value) -> int:
  """`value` as an int; raises ValueError where it is no seed."""
  if count('seed', value, least=0) >= SEEDS:
    raise ValueError(f'seed={value} is too large; write one below {SEEDS}')
  return int(value)
