"""The reader of zips: a member at a time, in memory, and nothing is ever unpacked."""

import os
import zipfile

from adiff.machine import input_file

_ADVICE = 'pack it again'


class Zip:
  """An archive that somebody packed. Folders are no members, nor is what is hidden, or lies in a
  folder that is.

  most: bytes that a member may have. Raises FileNotFoundError, Unreadable for what is no zip, is
  locked, holds more, or a name that leads out of it; OSError.
  """

  def __init__(self, path, *, most):
    self.path = os.fspath(path)
    with input_file.opened(path), input_file.told(path, 'is no zip that can be read', _ADVICE):
      self._archive = zipfile.ZipFile(path)
    members = [one for one in self._archive.infolist() if not one.is_dir()]
    for member in members:
      self._check(member, most)
    self._members = {
      one.filename: one for one in members
      if not any(map(input_file.hidden, one.filename.split('/')))
    }

  @property
  def names(self) -> list[str]:
    """Of all members, sorted."""
    return sorted(self._members)

  def where(self, name) -> str:
    """What a member is called in a sentence."""
    return f'{name} in {self.path}'

  def read(self, name) -> bytes:
    """The bytes of a member, whose checksum holds; raises Unreadable where it does not."""
    with input_file.told(self.where(name), 'is torn', _ADVICE):
      return self._archive.read(self._members[name])

  def _check(self, member, most):
    """Raises Unreadable for a member that nobody packed in good faith, or that cannot be read."""
    name, parts = member.filename, member.filename.replace('\\', '/').split('/')
    if parts[0] == '' or ':' in parts[0] or '..' in parts:
      raise input_file.Unreadable(f'{self.path} holds {name!r}, which leads out of it; {_ADVICE}')
    if member.file_size > most:
      raise input_file.Unreadable(
        f'{self.path} holds {name!r} of {member.file_size} bytes, where at most {most} are read; '
        f'{_ADVICE} without it'
      )
    if member.flag_bits & 1:
      raise input_file.Unreadable(f'{self.path} is locked with a password; {_ADVICE} without one')
