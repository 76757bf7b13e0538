"""Text files, or the documentation that ships inside Python."""

import dataclasses
import functools

from adiff.data import corpora, rows
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class Text(rows.Documents):
  """A UTF-8 file, or a folder of them, in rows of symbols; see corpora.Files and corpora.PythonDocs
  for their splits."""

  places = ('path',)

  path: values.Path = ''  # '': the documentation inside Python
  num_tokens: values.Count = 256  # of a row
  packed: bool = False  # whole documents, several a row, instead of rows cut anywhere

  @functools.cached_property
  def corpus(self):
    return corpora.Files(self.path) if self.path else corpora.PythonDocs()
