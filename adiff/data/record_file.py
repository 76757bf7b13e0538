"""The reader of record files, TFRecord and ArrayRecord, and the writer of ArrayRecord: bytes after
bytes, without TensorFlow.

A TFRecord is, for every record, its length (8 bytes, little-endian), the masked CRC-32C of these
eight bytes, the record, and the masked CRC-32C of it; both are checked. What is torn, or holds a
bit that was not written, is refused with its place.
"""

import functools
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
from array_record.python import array_record_module

from adiff.machine import files, input_file

MOST_BYTES = 2**27  # of a record: a picture, and what is said of it
_ADVICE = 'copy it again from where it came'
_POLYNOMIAL, _DELTA, _ONES = 0x82F63B78, 0xA282EAD8, 0xFFFFFFFF
_BLOCK = 4096  # bytes whose checksum is made at once
_CHUNK = 64  # records that are read at once
# Every record by itself, as TFDS writes them: pictures are read one by one.
_OPTIONS = 'group_size:1'


def tfrecords(path) -> Iterator[bytes]:
  """The records of a TFRecord file; raises Unreadable where it is torn or was changed."""
  with input_file.opened(path) as file:
    number = 0
    while head := file.read(12):
      where = f'{path}, record {number} at byte {file.tell() - len(head)}'
      if len(head) < 12:
        raise input_file.Unreadable(f'{where}: the file ends within its length; {_ADVICE}')
      length, crc = struct.unpack('<QI', head)
      if _masked(crc32c(head[:8])) != crc or length > MOST_BYTES:
        raise input_file.Unreadable(
          f'{where}: its length has not the checksum that is written beside it, or is above '
          f'{MOST_BYTES}; it is no TFRecord file, or {_ADVICE}'
        )
      body = file.read(length + 4)
      if len(body) < length + 4:
        raise input_file.Unreadable(f'{where}: the file ends within it; {_ADVICE}')
      if _masked(crc32c(body[:-4])) != struct.unpack('<I', body[-4:])[0]:
        raise input_file.Unreadable(f'{where} has not the checksum that is written; {_ADVICE}')
      yield body[:-4]
      number += 1


def write_tfrecords(path, records: Iterable[bytes]) -> None:
  """Writes a TFRecord file, whole or not at all; raises OSError."""
  with files.whole(path, 'wb') as file:
    for record in records:
      length = struct.pack('<Q', len(record))
      file.write(length + struct.pack('<I', _masked(crc32c(length))))
      file.write(record + struct.pack('<I', _masked(crc32c(record))))


def array_records(path) -> Iterator[bytes]:
  """The records of an ArrayRecord file; raises Unreadable where it is none. One that is torn looks
  empty: whoever knows how many there must be compares."""
  with input_file.opened(path):  # a file, and there
    pass
  with input_file.told(path, 'is no ArrayRecord file', _ADVICE):
    reader = array_record_module.ArrayRecordReader(os.fspath(path))
    count = reader.num_records()
  for start in range(0, count, _CHUNK):
    with input_file.told(path, 'holds records that cannot be read', _ADVICE):
      chunk = reader.read(list(range(start, min(start + _CHUNK, count))))
    yield from chunk


def count_array_records(path) -> int:
  """How many records an ArrayRecord file holds; raises as `array_records`."""
  with input_file.told(path, 'is no ArrayRecord file', _ADVICE):
    return array_record_module.ArrayRecordReader(os.fspath(path)).num_records()


def write_array_records(path, records: Iterable[bytes]) -> int:
  """Writes an ArrayRecord file, whole or not at all, the same bytes for the same records; returns
  how many. Raises OSError, and whatever `records` raises."""
  count = 0
  with tempfile.TemporaryDirectory(prefix='adiff-') as place:
    local = os.path.join(place, 'records')  # its writer knows files of this machine alone
    writer = array_record_module.ArrayRecordWriter(local, _OPTIONS)
    try:
      for record in records:
        writer.write(record)
        count += 1
    finally:
      writer.close()
    with input_file.opened(local) as written, files.whole(path, 'wb') as file:
      shutil.copyfileobj(written, file, 2**20)
  return count


def crc32c(data: bytes) -> int:
  """The CRC-32C (Castagnoli) of some bytes, block by block through a table a place: the checksum
  is linear, so that of a block is the exclusive or of those of its bytes."""
  table, register = _table(), _ONES
  for start in range(0, len(data), _BLOCK):
    block = np.frombuffer(data[start:start + _BLOCK], np.uint8).copy()
    head = np.frombuffer(struct.pack('<I', register), np.uint8)[:len(block)]
    block[:4] ^= head
    found = np.bitwise_xor.reduce(table[_BLOCK - len(block) + np.arange(len(block)), block])
    register = int(found) ^ (register >> 8 * len(block) if len(block) < 4 else 0)
  return register ^ _ONES


@functools.cache
def _table():
  """uint32 [_BLOCK, 256]: what a byte leaves in the register at a place of a block."""
  byte = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    byte = np.where(byte & 1, byte >> 1 ^ np.uint32(_POLYNOMIAL), byte >> 1)
  table = np.empty((_BLOCK, 256), np.uint32)
  table[-1] = byte
  for place in range(_BLOCK - 2, -1, -1):
    after = table[place + 1]
    table[place] = after >> 8 ^ byte[after & 255]
  return table


def _masked(crc):
  """The checksum as TFRecord files store it."""
  return ((crc >> 15 | crc << 17) + _DELTA) & _ONES
