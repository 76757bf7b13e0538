"""A student beside its teacher, on the page of an evaluation: see judge/few_steps.py."""

import functools

from adiff.judge import base as judge_base
from adiff.judge import few_steps, section
from adiff.machine import checkpoint, cost, sharding
from adiff.run import build, shipped
from adiff.run import subject as subject_lib
from adiff.run import workdir as workdir_lib

SPACINGS = ({}, {'name': 'linear'})  # of the naive teacher: its own, and equal steps


def shown(parts) -> bool:
  """Is there a teacher that follows a flow in steps, and a measure of images?"""
  has_teacher = bool(getattr(parts.recipe, 'teacher', '')) and parts.process.has_ode
  return has_teacher and parts.config.eval.features and bool(parts.source.facts.levels)


def sections(parts, subject: judge_base.Subject, mesh, *, rows, flops) -> list:
  """The section, or one that says why there is none. rows: lines of metrics.jsonl; flops: of the
  training."""
  if not shown(parts):
    return []
  if checkpoint.latest_step(shipped.place(parts.recipe.teacher)) is None:
    told = f'The teacher {parts.recipe.teacher} is not there, and nothing is compared with it.'
    return [section.Section(few_steps.TITLE, (section.Text(told),))]
  make = functools.partial(_section, parts, subject, mesh, rows, flops)
  return [subject.attempt(few_steps.TITLE, make)]


def _section(parts, subject, mesh, rows, flops):
  asked = [row['teacher_calls'] for row in rows if 'teacher_calls' in row]
  opened = [_opened(parts, spacing) for spacing in SPACINGS]
  own = opened[0]
  place = shipped.place(parts.recipe.teacher)
  abstract = cost.params(own)
  shardings = sharding.state_shardings(mesh, abstract, tensor_axes=own.model.tensor_axes())
  _, params = checkpoint.restore_params(place, sharding.placed(abstract, shardings))
  made = [
    subject_lib.make(
      one, params, mesh, workdir=place, bound={}, attempt=subject.attempt, tell=subject.tell
    ) for one in opened
  ]
  teacher = few_steps.Teacher(
    parts.recipe.teacher, made[0], lambda steps: tuple(one.sample(steps=steps) for one in made),
    asked[-1] if asked else None, flops,
  )
  return few_steps.section_of(subject, teacher, (*parts.config.eval.steps, subject.steps))


def _opened(parts, spacing) -> build.Parts:
  """What the teacher's config stands for, sampled as many times and from the same noise."""
  config = workdir_lib.load(shipped.place(parts.recipe.teacher)).copy_and_resolve_references()
  with config.unlocked():
    config.seed, config.eval.num = parts.config.seed, parts.config.eval.num
    config.eval.split = parts.config.eval.split
    if spacing:
      config.spacing = spacing
  return build.build(config, parts.coded)
