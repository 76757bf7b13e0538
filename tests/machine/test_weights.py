"""Weights: what a workdir holds where it is given away, and what is refused of them."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from adiff.learn import base
from adiff.machine import checkpoint, files, weights

ROLE = base.DENOISER
PARAMS = {
  'layers': {'kernel': np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)},
  'out': np.float32(0.1) * np.ones(5, np.float32), 'count': np.array([3], np.int32),
}
WANTED = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), PARAMS)


@pytest.fixture
def kept(tmp_path):
  """A folder that holds them."""
  weights.write(tmp_path, 7, PARAMS, ROLE)
  return tmp_path


def sealed(folder, content):
  """Other bytes under the digest that they have."""
  (folder / weights.FILE).write_bytes(content)
  about = json.loads((folder / weights.ABOUT).read_text())
  digest = files.sha256(folder / weights.FILE)
  (folder / weights.ABOUT).write_text(json.dumps(about | {'sha256': digest}))


@pytest.mark.parametrize('dtype, error', [('float32', 0), ('float16', 5e-4)])
def test_weights_come_back_as_the_program_has_them_to_the_digits_that_were_kept(
  dtype, error, tmp_path
):
  weights.write(tmp_path, 7, PARAMS, ROLE, dtype=dtype)
  step, found = checkpoint.restore_params(tmp_path, WANTED)
  assert step == checkpoint.latest_step(tmp_path) == 7
  assert jax.tree.map(lambda leaf: leaf.dtype, found) == jax.tree.map(lambda x: x.dtype, PARAMS)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=error, atol=0), found, PARAMS)
  assert found['count'] == 3


def test_whoever_reads_safetensors_finds_every_array_by_its_path(kept):
  arrays = safetensors.numpy.load_file(kept / weights.FILE)
  assert {name: array.shape for name, array in arrays.items()} == {
    'layers/kernel': (3, 4), 'out': (5,), 'count': (1,)
  }
  _, found = checkpoint.restore_params(kept)
  assert found['layers']['kernel'].shape == (3, 4)


def test_a_model_in_which_they_lie_is_copied_with_them(kept, tmp_path_factory):
  other = tmp_path_factory.mktemp('other')
  checkpoint.copy(kept, 7, other)
  assert checkpoint.restore_params(other, WANTED)[0] == 7


@pytest.mark.parametrize('spoil, sentence', [
  (lambda folder: (folder / weights.FILE).unlink(), 'there is no .*weights.safetensors, which'),
  (lambda folder: (folder / weights.FILE).write_bytes(b'x'), 'is not what weights.json beside it'),
  (lambda folder: sealed(folder, b'x' * 99), 'is no safetensors file'),
  (lambda folder: sealed(folder, (folder / weights.FILE).read_bytes()[:-3]), 'is no safetensors'),
  (lambda folder: sealed(folder, safetensors.numpy.save({'out': np.ones(4)})),
   r'holds count as nothing where this config builds \[1\]'),
  (lambda folder: (folder / weights.ABOUT).write_text('{'), 'weights.json is not JSON'),
  (lambda folder: (folder / weights.ABOUT).write_text('{"step": "7"}'), '"7" as step where'),
], ids=range(7))
def test_damaged_weights_are_refused_with_the_name_of_the_file(kept, spoil, sentence):
  spoil(kept)
  with pytest.raises(ValueError, match=sentence):
    checkpoint.restore_params(kept, WANTED)


@pytest.mark.parametrize('asked, sentence', [
  (dict(step=3), 'parameters of step 7 alone; leave --step away'), (dict(ema=False), 'averaged'),
  (dict(role='other'), "of the role 'denoiser', not of 'other'"),
])
def test_what_was_not_given_away_is_not_there(kept, asked, sentence):
  with pytest.raises(ValueError, match=sentence):
    checkpoint.restore_params(kept, WANTED, **asked)
  assert checkpoint.restore_params(kept, WANTED, step=7)[0] == 7


@pytest.mark.parametrize('params, dtype, sentence', [
  (PARAMS, 'int8', "kept as 'int8'; choose one of float32, float16"),
  ({'out': np.array([1e6], np.float32)}, 'float16', 'out is not finite in float16; keep it as'),
])
def test_what_would_not_come_back_is_not_written(params, dtype, sentence, tmp_path):
  with pytest.raises(ValueError, match=sentence):
    weights.write(tmp_path, 7, params, ROLE, dtype=dtype)
  assert list(tmp_path.iterdir()) == []
