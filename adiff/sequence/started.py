"""Plans of walks that begin with data, or that make rows again around given tokens."""

import dataclasses

from adiff.sequence import plan as plan_lib
from adiff.sequence import values


@dataclasses.dataclass(frozen=True)
class Started(plan_lib.Plan):
  """start: level at which every block begins, data noised to it: all levels are so many times what
  the plan says (SDEdit, Meng et al. 2022, arXiv:2108.01073). One block of data of the right law
  then ends in that law, wherever it starts; of several, later ones begin beside another past than
  their own.
  resamples: how often each row is made again around given tokens, see sample/repaint.py.
  """

  start: values.Share = 1.0
  resamples: values.Whole = 0

  def __post_init__(self):
    values.check('strength', self.start, values.Share)
    values.check('resamples', self.resamples, values.Whole)
    super().__post_init__()

  @property
  def matrix(self):
    return super().matrix * self.start


def of(plan: plan_lib.Plan, **how) -> Started:
  """A plan, begun or made again so; how: `start` and `resamples`."""
  own = {one.name: getattr(plan, one.name) for one in dataclasses.fields(plan)}
  return Started(**{**own, **how})
