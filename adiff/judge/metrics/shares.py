"""Shares: how often something is true of independent samples, and how sure that is."""


def wilson(true, z=1.96) -> tuple[float, float]:
  """The 95% interval of the share of bool [n], n >= 1 (Wilson 1927, JASA 22, eq. 13 ff.)."""
  num, share = len(true), true.mean()
  middle = (share + z**2 / (2 * num)) / (1 + z**2 / num)
  half = z / (1 + z**2 / num) * (share * (1 - share) / num + z**2 / (4 * num**2)) ** 0.5
  return max(0.0, float(middle - half)), min(1.0, float(middle + half))
