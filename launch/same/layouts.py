"""All that launch/same knows of a checkout, in either layout of the project."""

import contextlib
import dataclasses
import functools
import importlib
import pathlib
import sys
import types

import jax
import optax

from launch import convert
from launch.same.rows import NUM


class Old:
  """What is asked of a checkout, in the layout of commit 2bd38b1.

  parts is what `build` returns. Records hold parameters as the layout of rooms stores them.
  """

  MODULES = dict(
    base='configs.base', batches='adiff.data.batches', build='adiff.build',
    evaluate='adiff.evaluate', generate='adiff.generate', recipe='adiff.recipe',
    room='adiff.room', sampler='adiff.sampler', sharding='adiff.sharding', state='adiff.state',
    toy='configs.toy', train='adiff.train', truncation='adiff.truncation',
  )

  def __init__(self):
    self.at = types.SimpleNamespace(
      **{name: importlib.import_module(path) for name, path in self.MODULES.items()})

  def stored(self, path, array):
    """An array of parameters as a record holds it, and back (modulations are in another order)."""
    return convert.converted(path, array)

  # ---- Configs

  def toys(self):
    """Arguments of configs/toy.py."""
    return self.at.toy.ARGUMENTS

  def config(self, file, argument):
    """That of configs/FILE.py:ARGUMENT."""
    return importlib.import_module(f'configs.{file}').get_config(argument)

  def set(self, config, key, value):
    """Sets 'section.name', or a choice to dict(name=.., **arguments)."""
    if isinstance(value, dict):
      self.at.base.choose(config, key, **value)
      return
    *sections, name = key.split('.')
    functools.reduce(lambda place, section: place[section], sections, config)[name] = value

  def build(self, config, like=None):
    """The parts of a config; like: parts of the same data."""
    return self.at.build.build(config, like and self.data(like))

  def data(self, parts):
    """What batches read."""
    return parts.source

  def facts(self, parts):
    """What draws depend on."""
    return types.SimpleNamespace(
      sizes=parts.blocks.sizes, classes=parts.spec.num_classes, sequential=parts.plan.sequential)

  # ---- Training

  @contextlib.contextmanager
  def device(self, parts):
    """Within it all else is called."""
    with jax.set_mesh(self.at.build.build_mesh(parts)):
      yield

  def _placed(self, parts):
    mesh = self.at.build.build_mesh(parts)
    abstract = jax.eval_shape(parts.recipe.init, jax.eval_shape(lambda: jax.random.key(0)))
    return mesh, self._shardings(parts, mesh, abstract)

  def _shardings(self, parts, mesh, abstract):
    return self.at.sharding.state_shardings(
      mesh, abstract, offload=parts.config.train.offload)

  def start(self, parts):
    """The state before the first step."""
    init = lambda: parts.recipe.init(self.at.state.stream(parts.config.seed, 'init'))
    return self.at.sharding.born(init, self._placed(parts)[1])

  def params(self, state):
    return state.params

  def ema(self, state):
    return state.ema

  def moments(self, state):
    """{'mu', 'nu'} of the optimiser, trees as those of the parameters."""
    return {name: optax.tree_utils.tree_get(state.opt_state, name) for name in ('mu', 'nu')}

  def replaced(self, state, params, ema):
    """The state with other parameters and average."""
    return state.replace(params=params, ema=ema)

  def batches(self, parts):
    """step -> batch of numpy arrays, tokens in block order."""
    train = parts.config.train
    return self.at.batches.Batches(
      self.data(parts), 'train', train.batch_size, seed=parts.config.seed, blocks=parts.blocks,
    ).batch_at

  def update(self, parts):
    """(state, batch) -> (state, {name: scalar or curve}); the state given is used up."""
    mesh, shardings = self._placed(parts)
    update = self.at.train.make_update(parts, mesh, shardings)
    put = lambda batch: self.at.sharding.put_batch(mesh, batch, parts.config.train.batch_size)
    return lambda state, batch: update(state, put(batch))

  def bound(self, parts, params):
    """(nats, level), each [n, samples, K], of the held-out split."""
    measure = self.at.evaluate.Bound(parts, self.at.build.build_mesh(parts))
    return measure.samples(params, samples=2)

  # ---- Sampling

  def keys(self, parts):
    """[NUM], one an example."""
    return self.at.generate.example_keys(parts.config.seed, 0, NUM)

  def sampler(self, parts, cached):
    """(params, keys, labels) -> (x0 [NUM, N, ..] in block order, network calls [NUM] or None)."""
    run = self.at.generate.make_sampler(parts, trace=not cached)
    return run if cached else lambda *told: (run(*told)[-1], None)

  def walk(self, parts, cached, lead=0, stop=None):
    """`sampler` that is told given tokens and their mask as well; the first `lead` blocks are
    given, and take no step."""
    at, plan = self.at, dataclasses.replace(parts.plan, given=lead)
    how = dict(blocks=parts.blocks, process=parts.process, solver=parts.solver)
    coords, model = parts.spec.coords, parts.model

    def run(params, keys, labels, given, mask):
      known = dict(given=given, given_mask=mask, stop=stop)
      apply = parts.recipe.network(params, loops=True)
      denoise = at.recipe.conditioned(apply, {'label': labels})
      denoise = at.truncation.truncate(denoise, **dict(parts.config.truncation))
      if not cached:
        return at.sampler.sample(denoise, keys, plan, coords=coords, **known, **how), None
      cache = model.empty_cache(len(labels), 0, coords.shape[-1])
      now = at.sampler.start(keys, cache, plan=plan, **known, **how)
      for rows, windows in at.room.rooms(plan, parts.blocks, model.reach, model.sinks):
        now = now._replace(cache=model.grow(now.cache, rows))
        now = at.sampler.walk(denoise, now, [windows], coords=coords, stop=stop, **how)
      return now.x, now.calls

    return jax.jit(run)


class New(Old):
  """The layout of rooms."""

  MODULES = dict(
    base='configs.base', batches='adiff.data.batches', build='adiff.run.build',
    evaluate='adiff.run.evaluate', generate='adiff.run.generate', network='adiff.nn.network',
    session='adiff.sample.session', sharding='adiff.machine.sharding', state='adiff.learn.state',
    toy='configs.toy', train='adiff.run.train', walk='adiff.sample.walk',
  )

  def stored(self, path, array):
    return array

  def set(self, config, key, value):
    if key == 'blocks.stream':
      key, value = 'model.shifted', value == 'shifted'
    super().set(config, key, value)

  def _shardings(self, parts, mesh, abstract):
    return self.at.build.state_shardings(parts, mesh, abstract)

  def params(self, state):
    return state.params['denoiser']

  def ema(self, state):
    return state.ema['denoiser']

  def moments(self, state):
    opt = state.opt['denoiser']
    return {name: optax.tree_utils.tree_get(opt, name) for name in ('mu', 'nu')}

  def replaced(self, state, params, ema):
    return state.replace(params={'denoiser': params}, ema={'denoiser': ema})

  def walk(self, parts, cached, lead=0, stop=None):
    at, plan = self.at, dataclasses.replace(parts.plan, given=lead)

    def run(params, keys, labels, given, mask):
      def bind(params):
        denoise = parts.recipe.network(params, loops=True)
        return at.network.condition(
          denoise, {'label': labels}, history_cond=parts.history_cond)

      if not cached:
        return at.walk.sample(
          bind(params), keys, plan, blocks=parts.blocks, process=parts.process,
          solver=parts.solver, coords=parts.spec.coords, narrow=parts.narrow, given=given,
          given_mask=mask, stop=stop), None
      session = at.generate.make_session(parts, bind, plan, stop=stop)
      state = session.finish(params, session.start(keys, given, mask))
      return state.x, state.calls

    return jax.jit(run)


class Apart(New):
  """The same, where codecs stand apart from sources."""

  def data(self, parts):
    return parts.coded


def adapter_of(checkout):
  """The adapter of a checkout, whose modules are imported from there and nowhere else."""
  sys.path.insert(0, str(checkout))
  apart = (checkout / 'adiff' / 'codec' / 'base.py').exists()
  adapter = (Apart if apart else New if (checkout / 'adiff' / 'run').is_dir() else Old)()
  for name, module in vars(adapter.at).items():
    if not pathlib.Path(module.__file__).resolve().is_relative_to(checkout):
      raise SystemExit(f'{name} comes from {module.__file__}, not from {checkout}')
  return adapter
