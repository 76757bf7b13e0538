"""Chi-square tests of counts against a law."""

import numpy as np

MIN_EXPECTED = 5.0


def goodness_of_fit(counts, probs) -> tuple[float, int]:
  """Chi-square statistic and dof of counts against cell probabilities; rare cells are pooled."""
  expected = probs * counts.sum()
  rank = np.argsort(expected)
  counts, expected = counts[rank], expected[rank]
  rare = int(np.sum(expected < MIN_EXPECTED))
  while 0 < rare < len(expected) and expected[:rare].sum() < MIN_EXPECTED:
    rare += 1  # The pool itself must be common enough: let it swallow the next rarest cell.
  if rare:
    counts = np.append(counts[rare:], counts[:rare].sum())
    expected = np.append(expected[rare:], expected[:rare].sum())
  return float(np.sum((counts - expected) ** 2 / expected)), len(expected) - 1


def two_samples(counts, reference) -> dict:
  """`verdict` on whether two samples have one law, by their counts of the same cells. Cells that
  are expected rarely, as the reference says, are pooled."""
  common = reference / reference.sum() * counts.sum() >= MIN_EXPECTED
  table = np.stack([counts, reference])
  table = np.concatenate([table[:, common], table[:, ~common].sum(1, keepdims=True)], 1)
  table = table[:, table.sum(0) > 0]
  if table.shape[1] < 2:
    return verdict(0.0, 0)
  expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
  return verdict(float(np.sum((table - expected) ** 2 / expected)), table.shape[1] - 1)


def verdict(statistic, dof) -> dict:
  """{'statistic', 'dof', 'p_value'}; raises ValueError without a degree of freedom."""
  from scipy import special  # half a second to import, for this alone; scipy.stats takes more

  if dof < 1:
    raise ValueError('too few samples for a test of the law; pass at least a few thousand')
  return {'statistic': statistic, 'dof': dof, 'p_value': float(special.chdtrc(dof, statistic))}
