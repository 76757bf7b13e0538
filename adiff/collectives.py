"""What a compiled program moves between devices, read from its text, and what the rules predict.

Bytes are those of the whole array that one device ends or begins with: the result of an all-gather,
the operand of a reduce-scatter, an all-reduce, an all-to-all or a permute.
"""

import collections
import math
import re

import numpy as np

KINDS = ('all-gather', 'reduce-scatter', 'all-reduce', 'all-to-all', 'collective-permute')
_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 'f32': 4, 's32': 4,
          'u32': 4, 'f64': 8, 's64': 8, 'u64': 8}
_CALL = re.compile(rf'= (.+?) ({"|".join(KINDS)})(-start)?\((.*)$')
_ARRAY = re.compile(r'([a-z]+[0-9]*)\[([0-9,]*)\]')


def found(text, mesh) -> dict:
  """{(kind, axes of the mesh joined by '+'): bytes a device} of the text of a compiled program.

  Loops count as often as they run where the compiler knows it, else once.
  """
  total = collections.Counter()
  for computation, times in _computations(text).items():
    for line in computation:
      match = _CALL.search(line)
      if match:
        result, kind, start, rest = match.groups()
        sizes = [_size(*one) for one in _ARRAY.findall(result)]
        if start and kind != 'all-reduce':  # (operand, result, ..)
          sizes = sizes[len(sizes) // 2:] if kind == 'all-gather' else sizes[:len(sizes) // 2]
        size = sum(sizes)
        if kind == 'reduce-scatter' and not start:
          size *= _group_size(rest, mesh)
        total[kind, _axes(rest, mesh)] += size * times
  return {key: size for key, size in total.items() if key[1]}


def _computations(text):
  """{lines of a computation: how often it runs}."""
  bodies, name = {}, None
  for line in text.splitlines():
    head = re.match(r'(?:ENTRY )?%?([\w.\-]+) \(.*\{$', line)
    if head:
      name = head[1]
      bodies[name] = []
      if line.startswith('ENTRY'):
        entry = name
    elif name and line.startswith('}'):
      name = None
    elif name:
      bodies[name].append(line)
  times = collections.Counter()

  def visit(name, count):
    times[name] += count
    for line in bodies[name]:
      trips = re.search(r'known_trip_count.{1,4}\{"n":"(\d+)"', line)
      inside = int(trips[1]) if trips and ' while(' in line else 1
      for called in re.findall(r'(?:body|calls|to_apply|branch_computations|computation)=\{?%?'
                               r'([\w.\-]+)', line):
        if called in bodies:
          visit(called, count * inside)

  visit(entry, 1)
  return {tuple(bodies[name]): count for name, count in times.items()}


def _size(kind, shape):
  return _BYTES.get(kind, 0) * math.prod(int(n) for n in shape.split(',') if n)


def _groups(rest, mesh):
  """int [groups, devices] of a call."""
  listed = re.search(r'replica_groups=\{(\{[\d,{}]*\})\}', rest)
  if listed:
    return np.array([[int(n) for n in group.split(',')]
                     for group in re.findall(r'\{([\d,]+)\}', listed[1])])
  iota = re.search(r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', rest)
  if iota:
    shape, dims, turn = ([int(n) for n in part.split(',')] if part else None
                         for part in iota.groups())
    numbers = np.arange(math.prod(dims)).reshape(dims)
    return (numbers.transpose(turn) if turn else numbers).reshape(shape)
  pairs = re.search(r'source_target_pairs=\{(\{[\d,{}]*\})\}', rest)
  if pairs:
    return np.array([[int(n) for n in pair.split(',')]
                     for pair in re.findall(r'\{([\d,]+)\}', pairs[1])])
  return np.arange(mesh.size)[None]


def _group_size(rest, mesh):
  return _groups(rest, mesh).shape[1]


def _axes(rest, mesh):
  """The axes of the mesh along which a call's groups stretch."""
  groups = _groups(rest, mesh)
  places = np.stack(np.unravel_index(groups, mesh.devices.shape), -1)
  moves = (places != places[:, :1]).any((0, 1))
  return '+'.join(name for name, moved in zip(mesh.axis_names, moves, strict=True) if moved)
