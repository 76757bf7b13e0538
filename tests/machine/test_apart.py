"""Processes of a job that work apart: devices, claims, words and disks, with a stand-in for JAX's
coordination service."""

import json

import jax
import pytest

from adiff.machine import hosts, rates
from adiff.run import build, division
from adiff.run import workdir as workdir_lib
from configs import toy


class Service:
  """What JAX's coordination service keeps, {name: word}, seen by one of its processes."""

  def __init__(self):
    self.words = {}

  def key_value_set(self, name, word):
    if name in self.words:
      raise jax.errors.JaxRuntimeError(f'ALREADY_EXISTS: key {name} already exists.')
    self.words[name] = word

  def key_value_dir_get(self, place):
    assert place.endswith('/')
    return [(name, word) for name, word in self.words.items() if name.startswith(place)]


@pytest.fixture
def job(monkeypatch):
  """The service of a job of eleven processes, of which this is the one that `become` says."""
  service = Service()
  service.become = lambda index: monkeypatch.setattr(jax, 'process_index', lambda: index)
  monkeypatch.setattr(jax, 'process_count', lambda: 11)
  monkeypatch.setattr(hosts, '_service', lambda: service)
  monkeypatch.setattr(hosts, '_meetings', 0)
  monkeypatch.setattr(hosts, 'SEEN', 0.1)
  service.become(0)
  return service


def said(job, word, *, by, meeting=1):
  """All processes but this one, the first, have come to a meeting; one of them says something."""
  for index in range(1, 11):
    job.words[f'adiff/words/{meeting}/of/{index}'] = word if index == by else '[null, null]'


def test_a_piece_of_work_is_one_processs_and_that_of_all_who_work_together(job):
  assert hosts.count() == 11 and hosts.claim('a') and hosts.claim('a')
  with hosts.alone():
    assert hosts.count() == 1 and hosts.first() and hosts.told(7) == 7
    assert hosts.claim('a') and not hosts.claim('a')
    job.become(1)
    assert hosts.first() and not hosts.claim('a') and hosts.claim('b')
  assert not hosts.first()


def test_who_waits_for_long_says_for_whom(job, monkeypatch):
  said_of = []

  def warning(text, *words):
    said_of.append(text % words)
    said(job, '[1, null]', by=3)

  monkeypatch.setattr(hosts, 'PATIENCE', 0.01)
  monkeypatch.setattr(hosts.logging, 'warning', warning)
  assert hosts.together(lambda: 0)[3] == 1
  assert 'process 0 has waited for 0 minutes for process 1, 2, 3, 4, 5, 6, 7, 8' in said_of[0]


def test_what_went_wrong_in_one_process_is_raised_in_all(job):
  said(job, '[null, "the disk of the last one is full"]', by=10)
  with pytest.raises(ValueError, match=r'last one is full \(so says process 10\)'):
    hosts.together(lambda: 0)
  assert job.words['adiff/words/1/of/0'] == '[0, null]'

  def fail():
    raise OSError('mine is, too')

  said(job, '[null, "the disk of the last one is full"]', by=10, meeting=2)
  with pytest.raises(ValueError, match='^mine is, too$'):
    hosts.together(fail)
  assert job.words['adiff/words/2/of/0'] == '[null, "mine is, too"]'


def test_what_the_first_process_finds_is_known_to_all_in_the_order_of_their_numbers(job):
  said(job, '[5, null]', by=10)
  assert hosts.together(lambda: 3) == [3, *[None] * 9, 5]
  job.become(2)
  job.words['adiff/words/2/all/words'] = json.dumps([['there', None], *[[None, None]] * 10])
  assert hosts.by_first(lambda: 1 / 0) == 'there'
  assert job.words['adiff/words/2/of/2'] == '[null, null]'


def test_a_disk_that_is_not_shared_and_other_samples_are_told_in_a_sentence(job, tmp_path):
  job.become(3)
  with pytest.raises(ValueError, match='process 3 does not see .*made_by.json, which the first proc'
                                       'ess has written; name a folder that all hosts share'):
    division.check_joined(tmp_path, {'num': 10})
  workdir_lib.check_made_by(tmp_path, {'num': 10}, '')
  division.check_joined(tmp_path, {'num': 10})
  with pytest.raises(ValueError, match='num = 10, but here it is 9; start all processes'):
    division.check_joined(tmp_path, {'num': 9})


@pytest.mark.parametrize('fsdp, words, memory, together, devices', [
  (1, (), 2**30, False, 2), (4, (), 2**30, False, 2),  # the nearest that two devices have
  (1, (), 2**10, False, 8), (1, (), 2**30, True, 8),
  (4, ('mesh.fsdp=4',), 2**30, False, 8), (2, ('mesh.fsdp=2',), 2**30, False, 2),
])
def test_each_host_works_on_its_own_devices_where_the_parameters_and_the_mesh_fit_them(
  job, fsdp, words, memory, together, devices, monkeypatch
):
  monkeypatch.setattr(hosts, 'outlive', lambda: None)
  monkeypatch.setattr(rates, 'memory', lambda: memory)
  monkeypatch.setattr(
    hosts, 'devices', lambda: jax.devices()[:2] if hosts.count() == 1 else jax.devices()
  )
  config = toy.get_config('block')
  config.mesh.fsdp = fsdp
  mesh = division.mesh(build.build(config), words, together=together)
  assert mesh.size == devices
