"""Measurements that fail one by one: what follows a failure goes on."""

import dataclasses
import traceback
from collections.abc import Callable
from typing import Any

from adiff.judge import section
from adiff.machine import hosts


class Attempts:
  """Calls what may fail; a failure is told, kept, and shown where its section would stand.

  Of several processes, one that went on alone would leave the others waiting: there a failure is
  raised at once.
  """

  def __init__(self):
    self.failures: list[Exception] = []
    self.failed: dict[str, str] = {}  # what: why, a sentence
    self._made: dict[str, section.Section] = {}

  def value(self, what, make: Callable[[], Any]) -> Any:
    """make(), or None where it failed; what: words by which a failure is told."""
    try:
      return make()
    except Exception as error:
      if hosts.count() > 1:
        raise
      traceback.clear_frames(error.__traceback__)  # they may hold large arrays
      why = ' '.join(str(error).split())
      self.failures.append(error)
      self.failed[what] = why if why else type(error).__name__
      hosts.say(f'{what}: not measured, and left out of the report: {self.failed[what]}')
      return None

  def made(self, title, make: Callable[[], section.Section]) -> section.Section:
    """make(), or else what there was of the section before, and why there is no more."""
    found = self.value(title, make)
    if found is not None:
      self._made[title] = found
    return self.shown(title)

  def shown(self, title) -> section.Section:
    """What was made of a section, and why there is no more of it."""
    found = self._made.get(title, section.Section(title, ()))
    if title not in self.failed:
      return found
    words = section.Text(f'Not measured, for this failed: {self.failed[title]}')
    return dataclasses.replace(found, parts=(*found.parts, words))
