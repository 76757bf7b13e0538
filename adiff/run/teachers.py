"""Teachers: workdirs that recipes ask and never change."""

import os

import jax
import jax.numpy as jnp

from adiff.learn import base, student
from adiff.learn import state as state_lib
from adiff.machine import checkpoint, hosts, sharding
from adiff.run import choose, places, shipped
from adiff.run import workdir as workdir_lib
from adiff.sample import guidance

UNTRAINED = 'untrained'
# What of a process may be the teacher's own: how its outputs are weighed and stepped with.
_OWN = ('weight', 'gamma', 'eta', 'clip', 'log_snr', 'objective')


def read(workdir, *, config, coded, build) -> student.Teacher:
  """The teacher that a workdir holds, or a model that ships with adiff, or, of the name UNTRAINED,
  the student's own network, which nothing but a dry run can ask.

  config, coded: of the student. build: build.build. Raises ValueError for what is no workdir of a
  denoiser, and where codec, process or the data's shape are not the student's.
  """
  if workdir == UNTRAINED:
    parts = _untrained(config, coded, build)
  else:
    parts = _trained(workdir, config, coded, build)
  told = config.model.get('guided', 'none') != 'none'
  if told:
    _check_guided(workdir, parts)
  return student.Teacher(
    where=os.fspath(workdir), model=parts.model,
    blocks=tuple(blocks for blocks, _ in parts.geometries), process=parts.process,
    history_cond=parts.history_cond, scale=parts.guidance,
    interval=tuple(parts.config.guidance.interval), hides=parts.hides,
    branches=2 if told else parts.branches, narrow=parts.narrow,
  )


def _check_guided(workdir, parts) -> None:
  """Raises ValueError for a teacher that cannot be guided at any scale."""
  if parts.model.hears_guidance:
    raise ValueError(
      f'config.recipe.teacher={workdir} is a student that is told its guidance; name the teacher '
      'that it had'
    )
  if not guidance.forgets(parts.config, parts.spec.conds, parts.spec.conds):
    raise ValueError(
      f'config.recipe.teacher={workdir} never learnt to do without its conditions and cannot be '
      "guided; write model.guided='none'"
    )


def _trained(workdir, config, coded, build):
  place = shipped.place(workdir)
  if checkpoint.latest_step(place) is None:
    raise ValueError(f'config.recipe.teacher={workdir} holds no checkpoint; train it first')
  theirs = workdir_lib.load(place)
  ours = _meant(config)
  for key, old, new in workdir_lib.differences(_meant(theirs), ours):
    raise ValueError(
      f'config.recipe.teacher={workdir} has {key}={workdir_lib.short(old)} and this config '
      f'{workdir_lib.short(new)}; a student has the codec and the process of its teacher'
    )
  parts = build(theirs, coded)
  stood_for = {'data': workdir_lib.trained_on(place)}
  workdir_lib.check_contract(place, {**parts.contract, **stood_for})
  return parts


def _untrained(config, coded, build):
  theirs = config.copy_and_resolve_references().unlock()
  theirs.recipe, theirs.model.told = {'name': 'plain'}, 't'
  theirs.model.guided, theirs.guidance.scale = 'none', 1.0
  theirs.solver = {'name': 'first_order'}
  if not choose.find('recipe', config.recipe.name).flows:  # of symbols: one after another
    theirs.blocks, theirs.draw, theirs.model.hinted = {'name': 'tokens'}, {'name': 'ones'}, 'none'
  return build(theirs, coded)


def _meant(config) -> dict:
  """What a student must have of its teacher."""
  config = workdir_lib.as_json(config)
  process = {key: value for key, value in config['process'].items() if key not in _OWN}
  return {'codec': places.own('codec', config['codec']), 'process': process}


def seated(parts, state, step_of) -> state_lib.State:
  """The state before the first step with the parameters of the recipe's teachers in it; the student
  starts from those of its teacher where all of them fit, unless config.init_from says from where.

  step_of: workdir -> the checkpoint that all processes take, or None for the newest.
  """
  recipe = parts.recipe
  for role, workdir in recipe.read_only.items():
    if workdir == UNTRAINED:
      raise ValueError(
        f'config.recipe.teacher={workdir} is for --mode=dryrun; name the workdir of a finished run'
      )
    wanted = jax.tree.map(
      lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
      state.params[role],
    )
    place = shipped.place(workdir)
    step, params = checkpoint.restore_params(place, wanted, step=step_of(place))
    hosts.say(f'{role} {workdir} at step {step}')
    state = state.replace(params={**state.params, role: params})
    if not parts.config.init_from and role == base.TEACHER:
      state = _started(state, recipe.role, params)
  return state


def _started(state, role, params) -> state_lib.State:
  """The state whose network starts as the teacher's parameters where it has an array of the name
  and shape of each of them; else as it is."""
  theirs = sharding.by_name(params)
  own = sharding.by_name(state.params[role])
  fits = all(name in own and own[name].shape == leaf.shape for name, leaf in theirs.items())
  hosts.say(f'the {role} starts {"as its teacher" if fits else "anew: its size is its own"}')
  if not fits:
    return state

  def pick(path, leaf):
    found = theirs.get(sharding.path_name(path))
    return leaf if found is None else jax.device_put(jnp.array(found, leaf.dtype), leaf.sharding)

  pick_all = lambda tree: jax.tree_util.tree_map_with_path(pick, tree)
  return state.replace(
    params={**state.params, role: pick_all(state.params[role])},
    ema={**state.ema, role: pick_all(state.ema[role])},
  )
