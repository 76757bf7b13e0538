"""Strict switches for the whole suite, eight fake devices, and the table of regimes."""

import os

import binary

from adiff.machine import compilation

compilation.keep()
os.environ['XLA_FLAGS'] = ' '.join([
  os.environ.get('XLA_FLAGS', ''), '--xla_force_host_platform_device_count=8', *binary.FLAGS,
])

import buckets  # noqa: E402
import emulator  # noqa: E402
import jax  # noqa: E402
import launchers  # noqa: E402
import pytest  # noqa: E402
import tiny  # noqa: E402

from configs import toy  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')
jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_debug_key_reuse', True)


# Rows that another row with the same process, or the same geometry, stands for.
RARER = (
  'full-uniform', 'forcing-uniform', 'scales_denoised-masked', 'scales_denoised-uniform',
  'frames-uniform', 'frames-masked', 'joint_reversed',
  'joint_turns',
)
REGIMES = [
  pytest.param(name, marks=pytest.mark.soak) if name in RARER else name for name in toy.ARGUMENTS
]


@pytest.fixture(scope='session', params=REGIMES)
def regime(request) -> tiny.Regime:
  """Every row of the table of regimes with every process it takes, as a tiny random model."""
  return tiny.regime(request.param)


@pytest.fixture(scope='session')
def few(tmp_path_factory):
  """A folder for the few examples of tiny_data."""
  return tmp_path_factory.mktemp('few')


@pytest.fixture(scope='session')
def cloud():
  """An emulator of Google Cloud Storage with the bucket gs://runs, which this process reaches."""
  with emulator.serving('runs') as server:
    buckets.connect(server.url)
    yield server


@pytest.fixture
def bucket(cloud, request) -> str:
  """A folder of its own in a bucket."""
  return f'gs://runs/{request.node.name}'.replace('[', '/').replace(']', '')


@pytest.fixture
def desk(tmp_path) -> launchers.Desk:
  """Stand-ins for the tools of every launcher."""
  return launchers.desk(tmp_path / 'desk')
