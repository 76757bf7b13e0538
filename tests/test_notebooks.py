"""The first cell of every notebook installs what the device needs, or nothing."""

import configparser
import glob
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob('colabs/*.ipynb'))
SMI = 'NVIDIA-SMI 580.1   Driver Version: 580.1   CUDA Version: {}  |'


def first_cell(path):
  """The code of its first cell of code."""
  cells = json.loads(path.read_text())['cells']
  return ''.join(next(cell['source'] for cell in cells if cell['cell_type'] == 'code'))


def run(monkeypatch, *, lacking=(), smi='', devices=(), variables=(), cwd=ROOT):
  """What the cell has pip install, [] for nothing."""
  asked, find = [], importlib.util.find_spec

  def call(words, **_):
    if 'pip' in words:
      asked.append(words[-1])
    return types.SimpleNamespace(stdout=smi)

  with monkeypatch.context() as patch:
    patch.chdir(cwd)
    patch.setattr(sys, 'path', list(sys.path))
    patch.setattr(subprocess, 'run', call)
    patch.setattr(shutil, 'which', lambda name: smi and name)
    patch.setattr(glob, 'glob', lambda place: [one for one in devices if one[:6] == place[:6]])
    patch.setattr(importlib.util, 'find_spec', lambda name: None if name in lacking else find(name))
    for name in [name for name in os.environ if name.startswith(('TPU_', 'COLAB_TPU'))]:
      patch.delenv(name)
    for name in variables:
      patch.setenv(name, '1')
    exec(first_cell(NOTEBOOKS[0]), {})
  return asked


def test_every_notebook_begins_with_the_same_cell():
  assert len(NOTEBOOKS) >= 5 and len({first_cell(path) for path in NOTEBOOKS}) == 1


def test_nothing_is_installed_where_adiff_is_and_the_devices_are_told(monkeypatch, capsys):
  assert run(monkeypatch, smi=SMI.format('12.4')) == []
  assert 'cuda: jax' in (said := capsys.readouterr().out) and 'CpuDevice' in said


def test_packages_that_are_too_old_are_installed_anew(monkeypatch):
  find = importlib.metadata.version
  for name, old in (('jax', '0.7.2'), ('flax', '0.8.10')):
    with monkeypatch.context() as patch:
      patch.setattr(
        importlib.metadata, 'version', lambda one, n=name, old=old: old if one == n else find(one)
      )
      assert run(monkeypatch) == [str(ROOT)]


@pytest.mark.parametrize(('where', 'extra'), [
  (dict(), ''), (dict(smi=SMI.format('11.8')), ''), (dict(smi='it failed'), ''),
  (dict(smi=SMI.format('12.4')), '[cuda]'), (dict(smi=SMI.format('13.0')), '[cuda13]'),
  (dict(devices=['/dev/accel0']), '[tpu]'), (dict(devices=['/dev/vfio/0']), '[tpu]'),
  (dict(variables=['TPU_ACCELERATOR_TYPE']), '[tpu]'),
  (dict(variables=['COLAB_TPU_ADDR']), '[tpu]'),
])
@pytest.mark.parametrize('cwd', [ROOT, ROOT / 'colabs'])
def test_the_extra_is_that_of_the_device(monkeypatch, where, extra, cwd):
  lacking = ('adiff', 'flax')
  assert run(monkeypatch, lacking=lacking, cwd=cwd, **where) == [f'{ROOT}{extra}']
  setup = configparser.ConfigParser()
  setup.read(ROOT / 'setup.cfg')
  assert extra[1:-1] in ('', *setup['options.extras_require'])


def test_without_a_checkout_around_it_the_cell_says_what_to_set(monkeypatch, tmp_path):
  with pytest.raises(OSError, match='set SOURCE above to its address'):
    run(monkeypatch, lacking=('adiff',), cwd=tmp_path)
