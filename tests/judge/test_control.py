"""Samples beside the maps that they were asked for: whose numbers are whose."""

import dataclasses

import judged
import numpy as np
import pytest

from adiff.codec import controlled
from adiff.data import drawn
from adiff.judge import control
from adiff.run import build
from configs import toy

NUM = 6


def test_samples_are_judged_by_the_maps_of_the_held_out_pictures_that_they_were_asked_for():
  source = drawn.Drawn(size=8 * NUM)
  codec = controlled.Controlled((32, 32, 3), control=('layout', 'low'), factor=4)
  coded = source.coded(codec)
  real = source.examples('test', np.arange(NUM))['example']
  empty = np.broadcast_to(real[:, :1, :1], real.shape)  # of the ground alone
  asked = []

  def sample(*, labels, told):
    asked.append((labels, told))
    return judged.sampled(real if told else empty)

  own = judged.subject(
    judged.sampled(real), size=coded.size, tokens=coded.examples, examples=source.examples,
    levels=256)
  sections = judged.made_by(control.Control(), dataclasses.replace(own, sample=sample))
  assert judged.titles(sections)[:2] == ['Control: layout', 'Control: low']
  assert set(asked[0][1]) == {'layout', 'low'} and asked[1][1] == {}
  rows = {
    name: {row['name']: row for group in judged.table(sections, f'Control: {name}').groups
           for row in group.rows} for name in ('layout', 'low')
  }
  assert rows['layout']['asked for']['iou'] == rows['layout']['asked for']['f1'] == 1
  assert rows['layout']['without']['f1'] == 0 < rows['layout']['chance']['f1'] < 1
  assert rows['low']['asked for']['difference'] == 0
  assert rows['low']['without']['difference'] > 2 > 0.5 > rows['low']['without']['projected']


def test_data_without_maps_are_refused():
  with pytest.raises(ValueError, match='asks for edges, layout, low.*write codec.name=controlled'):
    control.Control().needs(build.build(toy.get_config('full-masked')))
