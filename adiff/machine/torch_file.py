"""The reader of arrays that torch has saved, in the form that it wrote until 2020 (torch.save of a
dict of tensors): without torch, and nothing that the file says is executed.

  5 pickles: a number that marks the form, its version, about the machine, {name: tensor}, and the
  keys of the storages; then the numbers of each storage, behind how many they are

Of a pickle only numbers, texts, tuples, lists and dicts are made; a call is kept as what is called.
"""

import pickletools
from typing import Any, NamedTuple

import numpy as np

from adiff.machine import input_file

ADVICE = 'save the weights as .safetensors'
MARK, VERSION = 0x1950a86a20f9469cfc6c, 1001
_DTYPES = {
  'torch FloatStorage': np.float32, 'torch DoubleStorage': np.float64,
  'torch HalfStorage': np.float16, 'torch LongStorage': np.int64, 'torch IntStorage': np.int32,
}
_TENSOR, _DICT = 'torch._utils _rebuild_tensor_v2', 'collections OrderedDict'
_VALUES = (
  'BINUNICODE', 'BININT', 'BININT1', 'BININT2', 'LONG1', 'NONE', 'NEWTRUE', 'NEWFALSE', 'GLOBAL',
)
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_TUPLES = {'EMPTY_TUPLE': 0, 'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_BEGIN = object()  # of what a tuple, a list or a dict is made of


class _Call(NamedTuple):
  """What a pickle asks to be called."""

  name: str  # 'module name'
  arguments: tuple


class _Storage(NamedTuple):
  """Numbers behind the pickles."""

  dtype: Any
  key: str
  size: int


def read(path, *, advice=ADVICE) -> dict[str, np.ndarray]:
  """{name: array} of a file; raises FileNotFoundError, Unreadable in a sentence, or OSError."""
  with input_file.opened(path) as file, input_file.told(path, 'is no file of weights', advice):
    if (_pickled(file), _pickled(file)) != (MARK, VERSION):
      raise ValueError('it is in another form than that of torch before 1.6')
    _pickled(file)  # about the machine
    tensors, keys = _pickled(file), _pickled(file)
    wanted = {name: _wanted(call) for name, call in tensors.items()}
    storages = {}
    for storage, *_ in wanted.values():
      if storages.setdefault(storage.key, storage) != storage:
        raise ValueError('it announces two storages by one key')
    numbers = {key: _numbers(file, storages[key]) for key in keys}
    return {name: _array(numbers, *how) for name, how in wanted.items()}


def _wanted(call):
  """(storage, first number, shape, strides) of a tensor; raises ValueError for anything else."""
  if not isinstance(call, _Call) or call.name != _TENSOR:
    raise ValueError('it holds more than tensors by name')
  (_, kind, key, _, size, _), first, shape, strides, *_ = call.arguments
  if kind not in _DTYPES:
    raise ValueError(f'it holds a {kind}')
  reach = sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
  if min(first, *shape, *strides, 0) < 0 or (0 not in shape and first + reach >= size):
    raise ValueError('a tensor goes beyond its storage')
  return _Storage(_DTYPES[kind], key, size), first, shape, strides


def _numbers(file, storage):
  """Those of the next storage, which must be this one."""
  size = int.from_bytes(file.read(8), 'little')
  wanted = storage.size * np.dtype(storage.dtype).itemsize
  content = file.read(wanted) if size == storage.size else b''
  if len(content) != wanted:
    raise ValueError(f'it holds {len(content)} bytes of numbers where it announces {wanted}')
  return np.frombuffer(content, storage.dtype)


def _array(numbers, storage, first, shape, strides):
  """A tensor of the numbers of the storages."""
  found = numbers[storage.key][first:]
  strides = [stride * found.itemsize for stride in strides]
  return np.lib.stride_tricks.as_strided(found, shape, strides, writeable=False)


def _pickled(file):
  """What the next pickle of an open file describes."""
  stack, memo = [], {}

  def begun():
    place = len(stack) - 1 - stack[::-1].index(_BEGIN)
    found = stack[place + 1:]
    del stack[place:]
    return found

  def put(pairs):
    stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))

  for code, value, _ in pickletools.genops(file):
    name = code.name
    if name == 'STOP':
      return stack.pop()
    if name in _VALUES:
      stack.append(_CONSTANTS.get(name, value))
    elif name in _TUPLES:
      size = _TUPLES[name]
      stack[len(stack) - size:] = [tuple(stack[len(stack) - size:])]
    elif name == 'MARK':
      stack.append(_BEGIN)
    elif name == 'TUPLE':
      stack.append(tuple(begun()))
    elif name in ('EMPTY_DICT', 'EMPTY_LIST'):
      stack.append({} if name == 'EMPTY_DICT' else [])
    elif name == 'SETITEMS':
      put(begun())
    elif name == 'SETITEM':
      put([stack.pop(-2), stack.pop()])
    elif name in ('APPEND', 'APPENDS'):
      found = begun() if name == 'APPENDS' else [stack.pop()]
      stack[-1].extend(found)
    elif name in ('BINPUT', 'LONG_BINPUT'):
      memo[value] = stack[-1]
    elif name in ('BINGET', 'LONG_BINGET'):
      stack.append(memo[value])
    elif name == 'REDUCE':
      arguments, called = stack.pop(), stack.pop()
      stack.append({} if (called, arguments) == (_DICT, ()) else _Call(called, arguments))
    elif name == 'BUILD':
      stack.pop()  # what torch notes of a dict
    elif name not in ('PROTO', 'BINPERSID'):  # a storage is named by the tuple that lies there
      raise ValueError(f'it asks for {name}')
  raise ValueError('it ends too early')
