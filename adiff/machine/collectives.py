"""What a compiled program moves between devices, read from its text.

Bytes are those of the whole array that one device ends or begins with: the result of an all-gather,
the operand of a reduce-scatter, an all-reduce, an all-to-all or a permute.
"""

import collections
import math
import re
from typing import NamedTuple

import numpy as np

KINDS = ('all-gather', 'reduce-scatter', 'all-reduce', 'all-to-all', 'collective-permute')
_BYTES = {
  'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 'f32': 4, 's32': 4,
  'u32': 4, 'f64': 8, 's64': 8, 'u64': 8,
}
_CALL = re.compile(rf'= (.+?) ({"|".join(KINDS)})(-start)?\((.*)$')
# To the hosts of TPUs, who carry it to another slice, summed over the devices that have one sum.
_SENT = re.compile(r'= \((.+?), u32\[\].*? send\(.*xla_megascale_runtime')
_CALLED = re.compile(r'(?:body|calls|to_apply|branch_computations|computation)=\{?%?([\w.\-]+)')
_ARRAY = re.compile(r'([a-z]+[0-9]*)\[([0-9,]*)\]')


class _Move(NamedTuple):
  """A collective call, as often as it runs."""

  size: int  # bytes a device
  kind: str  # one of KINDS
  axes: str  # of the mesh, joined by '+'; '' where nothing leaves a device


def moved(text, mesh) -> dict[tuple[str, str], int]:
  """{(kind, axes of the mesh joined by '+'): bytes a device} of the text of a compiled program.

  Loops count as often as they run where that is a number in the text, else once. What a compiler
  has taken apart into a start, an end and what runs meanwhile has one channel and counts once.
  """
  moves, total = {}, collections.Counter()
  for lines, times in _computations(text):
    for line in lines:
      if sent := _SENT.search(line):
        sizes = (_size(element, shape) for element, shape in _ARRAY.findall(sent[1]))
        total['send', 'slices'] += sum(sizes) * times
      call = _CALL.search(line)
      if not call:
        continue
      channel = re.search(r'channel_id=(\d+)', call[4])
      name = channel[1] if channel else line
      move = _move(call, times, mesh)
      if move.size > (moves[name].size if name in moves else 0):
        moves[name] = move
  for move in moves.values():
    total[move.kind, move.axes] += move.size
  return {key: size for key, size in total.items() if key[1]}


def leaving(moved, mesh) -> int:
  """Bytes of `moved` that leave every slice, over the slow network, where each slice combines what
  its own devices have before it speaks to another one, as XLA does."""
  total = 0
  for (_, axes), size in moved.items():
    inner = axes.split('+')
    if 'slices' in inner:
      inner.remove('slices')
      shared = math.prod(mesh.shape[axis] for axis in inner)  # devices of a slice with one sum
      total += size * (mesh.size // mesh.shape['slices']) // shared
  return int(total)


def _move(call, times, mesh):
  """The _Move of a line that _CALL has matched."""
  result, kind, start, rest = call.groups()
  sizes = [_size(element, shape) for element, shape in _ARRAY.findall(result)]
  if start and kind == 'collective-permute':  # (operand, result, signals ..)
    sizes = sizes[:1]
  elif start and kind != 'all-reduce':  # (operands .., results ..)
    half = len(sizes) // 2
    sizes = sizes[half:] if kind == 'all-gather' else sizes[:half]
  groups = _groups(rest, mesh)
  scattered = groups.shape[1] if kind == 'reduce-scatter' and not start else 1
  return _Move(sum(sizes) * scattered * times, kind, _axes(groups, mesh))


def _computations(text):
  """[(lines of a computation, how often it runs)]."""
  bodies, name = {}, None
  for line in text.splitlines():
    head = re.match(r'(?:ENTRY )?%?([\w.\-]+) \(.*\{$', line)
    if head:
      name = head[1]
      bodies[name] = []
      if line.startswith('ENTRY'):
        entry = name
    elif line.rstrip() == '}':
      name = None
    elif name:
      bodies[name].append(line)
  times = collections.Counter()

  def visit(name, count):
    times[name] += count
    for line in bodies[name]:
      inside = _trips(line, bodies) if ' while(' in line else 1
      for called in _CALLED.findall(line):
        if called in bodies:
          visit(called, count * inside)

  visit(entry, 1)
  return [(bodies[name], count) for name, count in times.items()]


def _trips(line, bodies):
  """How often a loop runs: as the compiler says, or as its condition compares."""
  known = re.search(r'known_trip_count.{1,4}\{"n":"(\d+)"', line)
  if known:
    return int(known[1])
  condition = re.search(r'condition=%?([\w.\-]+)', line)
  lines = bodies.get(condition[1], []) if condition else []
  limits = re.findall(r's32\[\]\S* constant\((\d+)\)', '\n'.join(lines))
  below = any('direction=LT' in line for line in lines)
  return int(limits[0]) if len(limits) == 1 and below else 1


def _size(element, shape):
  """Bytes of an array such as f32[2,3]; of what is no array, such as a token, 0."""
  return _BYTES.get(element, 0) * math.prod(int(n) for n in shape.split(',') if n)


def _groups(rest, mesh):
  """int [groups, devices] of a call."""
  listed = re.search(r'replica_groups=\{(\{[\d,{}]*\})\}', rest)
  if listed:
    return _listed(listed[1])
  named = re.search(r"replica_groups=mesh\[([^\]]+)\] \{([^}]+)\}", rest)
  if named:
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
    inside = re.findall(r"'(\w+)'", named[2])
    order = [name for name in sizes if name not in inside] + inside
    numbers = np.arange(mesh.size).reshape(list(sizes.values()))
    turned = numbers.transpose([list(sizes).index(name) for name in order])
    return turned.reshape(-1, math.prod(sizes[name] for name in inside))
  iota = re.search(r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', rest)
  if iota:
    shape, sides, turn = (
      [int(n) for n in part.split(',')] if part else None for part in iota.groups()
    )
    numbers = np.arange(math.prod(sides)).reshape(sides)
    return (numbers.transpose(turn) if turn else numbers).reshape(shape)
  pairs = re.search(r'source_target_pairs=\{(\{[\d,{}]*\})\}', rest)
  if pairs:
    return _listed(pairs[1])
  return np.arange(mesh.size)[None]


def _listed(text):
  """int [groups, devices] of {0,1},{2,3}."""
  groups = re.findall(r'\{([\d,]+)\}', text)
  return np.array([[int(n) for n in group.split(',')] for group in groups])


def _axes(groups, mesh):
  """The axes of the mesh along which groups stretch."""
  places = np.stack(np.unravel_index(groups, mesh.devices.shape), -1)
  moves = (places != places[:, :1]).any((0, 1))
  return '+'.join(name for name, moved in zip(mesh.axis_names, moves, strict=True) if moved)
