"""The flags of the binary: what a mode does with them."""

import types

import launchers
import numpy as np
import pytest

from adiff import main
from adiff.run import handle, language


@pytest.mark.parametrize('given, used', [((), 7), (('--seed=3',), 3), (('--seed=0',), 0)])
def test_a_prompt_is_written_on_from_by_the_seed_given_else_by_that_of_the_config(
  given, used, monkeypatch, capsys
):
  seen = []

  def write(prompts, *, seed, num_tokens, show):
    seen.append((seed, num_tokens))
    return language.Written([''] * len(prompts), np.ones(1), np.ones(1), 1.0)

  config = types.SimpleNamespace(seed=7)
  spec = types.SimpleNamespace(medium='text')
  parts = types.SimpleNamespace(config=config, spec=spec)
  monkeypatch.setattr(
    handle, 'load', lambda *_, **__: types.SimpleNamespace(parts=parts, write=write)
  )
  words = ['--mode=sample', '--workdir=x', '--prompt=a', *given]
  with launchers.parsed(words):
    assert main.run() == 0
  assert seen == [(used, None)]


@pytest.mark.parametrize('word', [
  '--seed=-1', '--seed=4294967296', '--num=0', '--num=-5', '--batch=0', '--tokens=0', '--steps=0',
  '--block_size=0', '--step=-1', '--gather=0',
])
def test_a_number_that_means_nothing_is_refused_where_it_is_read(word):
  with pytest.raises(ValueError, match=word[2:].partition('=')[0]), launchers.parsed([word]):
    pass
