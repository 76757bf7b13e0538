"""Where a run's data lies is no part of what the run is: that is told by its fingerprint."""

from typing import Any

from adiff.run import choose

KINDS = ('data', 'codec')  # choices that may be read from somewhere


def of(kind, name) -> tuple[str, ...]:
  """The arguments of a choice that are places; none of one that is not known here."""
  try:
    return choose.find(kind, name).places
  except ValueError:
    return ()


def own(kind, choice) -> dict:
  """A choice without its places."""
  away = of(kind, choice['name'])
  return {key: value for key, value in choice.items() if key not in away}


def without(config: dict) -> dict:
  """A config as JSON without its places, those of every kind of tokens included."""
  each = {
    name: {key: own(key, value) if key in KINDS else value for key, value in section.items()}
    for name, section in config['kinds'].items()
  }
  return {**config, **{kind: own(kind, config[kind]) for kind in KINDS}, 'kinds': each}


def codecs(config: dict) -> Any:
  """All that a config as JSON says of codecs, those of every kind of tokens included."""
  kinds = config.get('kinds', {})  # one of an earlier version has none
  return config.get('codec'), {kind: own.get('codec') for kind, own in kinds.items()}


def placed(config, place) -> Any:
  """The config with its data at another place, of --data; None: where it was. Raises ValueError for
  data that lies nowhere."""
  if place is None:
    return config
  name = config.data.name
  keys = choose.find('data', name).places
  if not keys:
    raise ValueError(
      f'--data={place}: the data {name} of this config lies in no folder or file; leave --data away'
    )
  config = config.copy_and_resolve_references().unlock()
  config.data[keys[0]] = place
  return config.lock()


def placed_if_any(config, place) -> Any:
  """As `placed`, but the config as it is where its data lies nowhere."""
  return placed(config, place) if of('data', config.data.name) else config
