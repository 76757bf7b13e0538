"""Networks that make all tokens at once and keep nothing: for plans of one block."""

from adiff.nn import network


class Cacheless(network.Network):
  """What needs no cache has none, and is split over examples and parameters alone."""

  reads = ()

  def empty_cache(self, batch, places, axes):
    return None

  def cache_bytes(self, batch, places):
    return 0

  def grow(self, cache, places):
    return cache

  def shorten(self, cache, places, *, least):
    name = type(self).__name__.lower()
    raise ValueError(f'model {name} makes all tokens at once, and revises none of them')

  def tensor_axes(self):
    return {}

  def exchanged(self):
    return {'tensor': 0, 'sequence': 0, 'data': 0}
