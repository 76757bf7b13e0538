"""Rates: what is measured here, and what data sheets say."""

import pytest

from adiff.machine import rates


def test_the_measured_rate_is_that_of_a_computer():
  assert 1e8 < rates.matmul_rate(0.02, size=256) < 1e16
  assert 1e7 < rates.bandwidth(0.02, megabytes=8) < 1e14


def test_a_rate_without_a_time_to_measure_it_is_refused():
  with pytest.raises(ValueError, match='positive time'):
    rates.matmul_rate(0, size=8)


def test_every_kind_of_a_topology_has_a_data_sheet():
  assert set(rates.KINDS.values()) == set(rates.CHIPS)
