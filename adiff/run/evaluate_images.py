"""What an image model's report says of samples: pictures, and distances to real images."""

import dataclasses

import numpy as np

from adiff.judge.metrics import (
  baselines,
  classifier,
  coverage,
  frechet,
  memorisation,
  two_sample,
)
from adiff.judge.page import images as page_images
from adiff.run import build, generate

COLUMNS = 10  # of the grids of samples


def judge(parts: build.Parts, params, mesh, report, pictures, progress) -> None:
  """Measures eval.num samples a number of steps into `report` and `pictures`."""
  config, levels = parts.config, parts.source.facts.levels
  sampled = {}  # steps: (images, labels, row of the report's table)
  for steps in sorted({*config.eval.steps, config.plan.steps}):
    tokens, labels, row = generate.for_report(parts, params, mesh, steps=steps, progress=progress)
    sampled[steps] = parts.coded.decode(tokens), labels, row
  images, _, _ = sampled[config.plan.steps]
  scale = max(1, 48 // images.shape[1])
  names = [str(i) for i in range(COLUMNS)] if parts.spec.num_classes == COLUMNS else None
  pictures['samples'] = page_images.png_bytes(page_images.grid(
    images[:COLUMNS * 10], levels, columns=COLUMNS, scale=scale, labels=names
  ))
  frames = _frames(parts, params, mesh)
  pictures['strip'] = page_images.strip(frames, levels, columns=COLUMNS, scale=scale)
  if not config.eval.features:
    report['generators'] = [row for _, _, row in sampled.values()]
    return
  real = Real.of(parts)
  report['classifier'] = {
    'name': real.judge.name, 'accuracy': float(real.judge.accuracy)
  }
  report['generators'] += [
    {**row, **real.scores(images, labels)} for images, labels, row in sampled.values()
  ]
  report['generators'] += _others(parts, real)
  index, _ = memorisation.nearest(images[:COLUMNS * 2], real.train)
  pictures['neighbours'] = page_images.png_bytes(
    page_images.neighbours(images[:COLUMNS * 2], real.train[index], levels, scale=scale)
  )


@dataclasses.dataclass(frozen=True)
class Real:
  """Real images of both splits, and a classifier whose features compare others with them."""

  train: np.ndarray
  train_labels: np.ndarray
  test: np.ndarray
  test_labels: np.ndarray
  judge: classifier.Classifier
  reference: np.ndarray  # features of `train`

  @classmethod
  def of(cls, parts: build.Parts) -> 'Real':
    train, test = (
      parts.source.examples(split, np.arange(parts.source.size(split)))
      for split in ('train', parts.config.eval.split)
    )
    train, train_labels = train['example'], train['label']
    test, test_labels = test['example'], test['label']
    judge = classifier.fit(
      train, train_labels, test, test_labels, seed=0, levels=parts.source.facts.levels
    )
    return cls(train, train_labels, test, test_labels, judge, judge.features(train))

  def scores(self, images, labels=None) -> dict:
    """Numbers of images, with the labels that they were asked for."""
    features, probabilities = self.judge.features(images), self.judge.probabilities(images)
    equal = min(len(images), len(self.test))
    right = None if labels is None else float(np.mean(probabilities.argmax(1) == labels))
    return {
      'frechet': float(frechet.frechet(features, self.reference)),
      'inception_score': float(frechet.inception_score(probabilities)),
      **{name: float(v) for name, v in coverage.scores(self.reference, features).items()},
      'nn_ratio': float(memorisation.nn_ratio(images, self.train, self.test)),
      'accuracy': right,
      'two_sample': float(two_sample.forest_accuracy(self.test[:equal], images[:equal])),
    }


def _others(parts, real) -> list[dict]:
  """Rows of the report's table to compare with: real held-out images, and simple generators."""
  seed, num, levels = parts.config.seed, parts.config.eval.num, parts.source.facts.levels
  held_out = {
    'name': f'real {parts.config.eval.split} split', 'num': len(real.test),
    **real.scores(real.test, real.test_labels), 'two_sample': None,
  }
  mixture = baselines.gaussian_mixture(real.train, num, components=40, seed=seed, levels=levels)
  mixture = {'name': '40-component mixture', 'num': num, 'seed': seed, **real.scores(mixture)}
  each = -(-num // parts.spec.num_classes)
  normal, labels = baselines.class_gaussians(
    real.train, real.train_labels, each, seed=seed, levels=levels
  )
  order = np.random.default_rng(seed).permutation(len(normal))[:num]
  normal = {
    'name': 'class-conditional Gaussians', 'num': num, 'seed': seed,
    **real.scores(normal[order], labels[order]),
  }
  return [held_out, mixture, normal]


def _frames(parts, params, mesh, num=10):
  """[R, num, H, W, C]: what the walk looks like; masked tokens are -1."""
  labels = generate.balanced_labels(parts.spec.num_classes, 0, num)
  walk = generate.make_sampler(parts, mesh=mesh, trace=True)
  rows = walk(params, generate.example_keys(parts.config.seed, 0, num), labels)
  rows = parts.blocks.to_raster(np.asarray(rows), axis=2)
  tokens = rows.reshape(-1, *rows.shape[2:])
  if not parts.process.discrete:
    images = parts.coded.decode(tokens)
  else:
    images = parts.coded.decode(np.minimum(tokens, parts.spec.kind.vocab - 1)).astype(np.int32)
    is_mask = parts.coded.decode((tokens == parts.spec.kind.vocab).astype(tokens.dtype)) > 0
    images = np.where(is_mask, -1, images)
  return images.reshape(*rows.shape[:2], *images.shape[1:])


def show_latents(parts: build.Parts, params, mesh, report, pictures, progress) -> None:
  """Latents: up to three channels of samples and of real examples as colours, nothing decoded."""
  split = parts.config.eval.split
  tokens, _, row = generate.for_report(parts, params, mesh, progress=progress)
  report['generators'].append(row)
  num = min(len(tokens), parts.source.size(split))
  real = parts.coded.examples(split, np.arange(num))['tokens']
  for name, some in (('samples', tokens), ('samples/real', real)):
    examples = parts.coded.decode(some[:40])
    frames = examples if examples.ndim == 4 else examples[:, 0]  # the first one of a video
    colours = frames[..., :3 if frames.shape[-1] >= 3 else 1]
    low, high = np.percentile(colours, [1, 99])
    levels = np.clip((colours - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    scale = max(1, 64 // levels.shape[1])
    pictures[name] = page_images.png_bytes(page_images.grid(levels, 256, scale=scale))
