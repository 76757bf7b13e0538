"""Text as the bytes of UTF-8."""

import dataclasses

import numpy as np

from adiff.codec import text as text_lib
from adiff.machine import files


@dataclasses.dataclass(frozen=True)
class Bytes(text_lib.Tokenizer):
  """The 256 bytes of UTF-8."""

  @property
  def eos(self):
    return 256

  @property
  def digest(self):
    return files.digest('bytes')

  def symbols(self, text):
    return np.frombuffer(text.encode('utf-8'), np.uint8).astype(np.int32)

  def num_bytes(self, symbols):
    return len(symbols)

  def text(self, symbols):
    unknown = text_lib.UNKNOWN.encode('utf-8')
    data = b''.join(bytes([i]) if 0 <= i < 256 else unknown for i in np.asarray(symbols).tolist())
    return data.decode('utf-8', errors='replace')
