"""A choice of the config, dict(name=..., **arguments), and what it stands for.

An unknown name or argument raises with the list of what there is, and the nearest.
"""

import difflib
import inspect
from typing import Any


def resolve(key, table, choice, **provided) -> Any:
  """table[choice.name](**arguments), with `provided` where it is taken and not set; raises
  ValueError in words."""
  arguments = dict(choice)
  name = arguments.pop('name', None)
  if name not in table:
    near = difflib.get_close_matches(str(name), table, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    raise ValueError(
      f'config.{key}.name={name!r} is unknown; choose one of {", ".join(table)}{hint}'
    )
  taken = inspect.signature(table[name]).parameters
  arguments = {**{k: v for k, v in provided.items() if k in taken}, **arguments}
  for argument in arguments:
    if argument not in taken:
      own = [k for k in taken if k not in provided]
      raise ValueError(
        f'config.{key}: {name} takes no {argument!r}; it takes {", ".join(own) or "no arguments"}'
      )
  missing = [k for k, v in taken.items() if v.default is v.empty and k not in arguments]
  if missing:
    raise ValueError(f'config.{key}: {name} needs {", ".join(missing)}')
  return table[name](**arguments)
