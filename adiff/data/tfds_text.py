"""Any text set of TFDS."""

import dataclasses
import functools

from adiff.data import corpora, rows
from adiff.sequence import values


@dataclasses.dataclass(frozen=True, eq=False)
class TfdsText(rows.Documents):
  """A text set of TFDS in rows of symbols; see corpora.TfdsText."""

  places = ('data_dir',)

  dataset: values.Path = 'tiny_shakespeare'
  data_dir: values.Path = ''  # where TFDS keeps its data sets
  heldout: str = ''  # splits to evaluate on, such as 'validation+test'; '': test, or validation
  num_tokens: values.Count = 256  # of a row
  packed: bool = False  # whole documents, several a row, instead of rows cut anywhere

  @functools.cached_property
  def corpus(self):
    return corpora.TfdsText(self.dataset, self.data_dir, self.heldout)
