"""What others published, written from the papers in float64: tests compare with it.

Nothing of ours is imported here, and nothing is compiled.
"""

import itertools

import numpy as np
from scipy import linalg
from scipy.spatial import distance

# ---- Qwen3 (arXiv:2505.09388), under the mask of SDAR (arXiv:2510.06303) -------------------------


def qwen3_weights(rng, *, vocab, width, hidden, depth, heads, kv_heads) -> dict[str, np.ndarray]:
  """Random weights by the names of Qwen3ForCausalLM, float32, [out, in]."""
  size = width // heads
  shapes = {'model.embed_tokens': (vocab, width), 'model.norm': (width,), 'lm_head': (vocab, width)}
  for i in range(depth):
    shapes |= {f'model.layers.{i}.{name}': shape for name, shape in {
      'input_layernorm': (width,), 'post_attention_layernorm': (width,),
      'self_attn.q_norm': (size,), 'self_attn.k_norm': (size,),
      'self_attn.q_proj': (heads * size, width), 'self_attn.k_proj': (kv_heads * size, width),
      'self_attn.v_proj': (kv_heads * size, width), 'self_attn.o_proj': (width, heads * size),
      'mlp.gate_proj': (hidden, width), 'mlp.up_proj': (hidden, width),
      'mlp.down_proj': (width, hidden),
    }.items()}
  return {
    f'{name}.weight': (rng.normal(size=shape) * shape[-1] ** -0.5 + ('norm' in name)).astype('f')
    for name, shape in shapes.items()
  }


def qwen3(weights, ids, positions, mask, *, heads, kv_heads, base) -> np.ndarray:
  """Logits [S, V] of ids [S] at positions [S]; mask bool [S, S], who reads whom."""
  of = lambda name: weights[f'{name}.weight'].astype(np.float64)
  norm = lambda x, scale: x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * scale
  h = of('model.embed_tokens')[ids]
  size = h.shape[1] // heads
  angle = np.asarray(positions)[:, None] * base ** (-np.arange(size // 2) / (size // 2))
  angle = np.concatenate([angle, angle], axis=1)[:, None]

  def turned(x):
    first, second = np.split(x, 2, axis=-1)
    return x * np.cos(angle) + np.concatenate([-second, first], axis=-1) * np.sin(angle)

  depth = sum(name.endswith('input_layernorm.weight') for name in weights)
  for i in range(depth):
    layer = lambda name, i=i: of(f'model.layers.{i}.{name}')
    x = norm(h, layer('input_layernorm'))
    q, k, v = (
      (x @ layer(f'self_attn.{name}_proj').T).reshape(len(x), -1, size) for name in 'qkv'
    )
    q, k = (turned(norm(a, layer(f'self_attn.{n}_norm'))) for a, n in ((q, 'q'), (k, 'k')))
    k, v = (np.repeat(part, heads // kv_heads, axis=1) for part in (k, v))
    scores = np.where(mask[None], np.einsum('qhd,khd->hqk', q, k) / np.sqrt(size), -np.inf)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    h = h + np.einsum('hqk,khd->qhd', share, v).reshape(len(x), -1) @ layer('self_attn.o_proj').T
    x = norm(h, layer('post_attention_layernorm'))
    gate = x @ layer('mlp.gate_proj').T
    h = h + gate / (1 + np.exp(-gate)) * (x @ layer('mlp.up_proj').T) @ layer('mlp.down_proj').T
  return norm(h, of('model.norm')) @ of('lm_head').T


def sdar_mask(document, block, clean) -> np.ndarray:
  """bool [S, S] of the noisy and the clean copies of documents: document, block, clean [S].

  BD3-LM (arXiv:2503.09573), section 3.3: block-diagonal, offset block-causal, block-causal.
  """
  q, k = (lambda part: part[:, None]), (lambda part: part[None])
  diagonal = (q(block) == k(block)) & (q(clean) == k(clean))
  offset = ~q(clean) & k(clean) & (q(block) > k(block))
  causal = q(clean) & k(clean) & (q(block) >= k(block))
  return (q(document) == k(document)) & (diagonal | offset | causal)


# ---- Trajectories; kept: the product of (1 - beta), alpha^2, at each level of the grid ----------


def ddpm(x, guess, kept, noise) -> list:
  """Ho et al. 2020 (arXiv:2006.11239), algorithm 2 with the variance of eq. 7: x after every step.

  guess(x, i) is eps at level i of the grid, noise what each step adds.
  """
  found = []
  for i, z in enumerate(noise):
    beta = 1 - kept[i] / kept[i + 1]
    mean = (x - beta / np.sqrt(1 - kept[i]) * guess(x, i)) / np.sqrt(1 - beta)
    x = mean + np.sqrt((1 - kept[i + 1]) / (1 - kept[i]) * beta) * z
    found.append(x)
  return found


def ddim(x, guess, kept, noise, eta) -> list:
  """Song et al. 2021 (arXiv:2010.02502), eq. 12 and 16."""
  found = []
  for i, z in enumerate(noise):
    now, then = kept[i], kept[i + 1]
    width = eta * np.sqrt((1 - then) / (1 - now)) * np.sqrt(1 - now / then)
    eps = guess(x, i)
    x0 = (x - np.sqrt(1 - now) * eps) / np.sqrt(now)
    x = np.sqrt(then) * x0 + np.sqrt(1 - then - width**2) * eps + width * z
    found.append(x)
  return found


def dpm_solver_plus_plus(x, guess, alpha, sigma) -> list:
  """Lu et al. 2022 (arXiv:2211.01095), algorithm 2; guess(x, i) is x0. The last step, to sigma = 0,
  is of first order: h is infinite there, and it ends at x0."""
  half_snr = np.log(alpha[:-1] / sigma[:-1])
  found, before = [], None
  for i in range(len(half_snr)):
    x0 = guess(x, i)
    if i + 1 == len(half_snr):
      x = x0
    else:
      h = half_snr[i + 1] - half_snr[i]
      r = np.inf if before is None else (half_snr[i] - half_snr[i - 1]) / h
      d = x0 if before is None else (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before
      x = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * np.expm1(-h) * d
    found.append(x)
    before = x0
  return found


# ---- Losses of one token: p [V] is the network's law of x0, t the share of noise -----------------


def mdlm(p, x0, t) -> float:
  """Sahoo et al. 2024 (arXiv:2406.07524), eq. 10 with alpha = 1 - t, of a masked token."""
  alpha, slope = 1 - t, -1.0
  return slope / (1 - alpha) * np.log(p[x0])


def score_entropy(rates, score, ratio) -> float:
  """Lou et al. 2024 (arXiv:2310.16834), eq. 9 at one level: rates Q(xt, y), score s(y) and ratio
  p(y | x0) / p(xt | x0) of the other symbols y."""
  log = lambda a: np.log(np.where(ratio > 0, a, 1))
  return float(np.sum(rates * (score - ratio * log(score) + ratio * (log(ratio) - 1))))


def udlm(p, x0, xt, t) -> float:
  """Schiff et al. 2024 (arXiv:2412.10193), eq. 16 with alpha = 1 - t, of one token."""
  size, alpha, slope = len(p), 1 - t, -1.0
  truth = size * alpha * np.eye(size)[x0] + 1 - alpha
  model = size * alpha * p + 1 - alpha
  others = np.arange(size) != xt
  logs = np.log(model[xt] * truth[others] / (model[others] * truth[xt]))
  jumps = np.sum(truth[others] / truth[xt] * logs)
  return slope / (size * alpha) * (size / truth[xt] - size / model[xt] - jumps)


def discretised_logistics(weight, mean, scale, value, levels) -> float:
  """Salimans et al. 2017 (arXiv:1701.05517), eq. 2: the mass of pixel value x of 0 .. levels - 1
  under a mixture, whose values lie in [-1, 1]."""
  cdf = lambda x: 1 / (1 + np.exp(-(x - mean) / scale))
  x, half = 2 * value / (levels - 1) - 1, 1 / (levels - 1)
  upper = 1.0 if value == levels - 1 else cdf(x + half)
  lower = 0.0 if value == 0 else cdf(x - half)
  return float(np.sum(weight * (upper - lower)))


# ---- Judges --------------------------------------------------------------------------------------


def frechet(a, b) -> float:
  """Heusel et al. 2017 (arXiv:1706.08500), eq. 6, of features [n, F]."""
  moments = []
  for features in (a, b):
    mean = sum(features) / len(features)
    moved = features - mean
    moments.append((mean, moved.T @ moved / (len(features) - 1)))
  (mean_a, cov_a), (mean_b, cov_b) = moments
  root = linalg.sqrtm(cov_a @ cov_b).real
  return float(np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * root))


def inception_score(p) -> float:
  """Salimans et al. 2016 (arXiv:1606.03498): exp E_x KL(p(y|x) || p(y)) of [n, C]."""
  marginal = sum(p) / len(p)
  terms = [sum(q * np.log(q / m) for q, m in zip(row, marginal, strict=True) if q) for row in p]
  return float(np.exp(sum(terms) / len(terms)))


def precision(real, fake, k) -> float:
  """Kynkaanniemi et al. 2019 (arXiv:1904.06991), eq. 1 and 2: share of fakes within the distance of
  some real point to its k-th neighbour. Recall is the reverse."""
  radii = [sorted(distance.euclidean(point, other) for other in real)[k] for point in real]
  inside = 0
  for point in fake:
    inside += any(
      distance.euclidean(point, centre) <= radius
      for centre, radius in zip(real, radii, strict=True)
    )
  return inside / len(fake)


def density_and_coverage(real, fake, k) -> tuple[float, float]:
  """Naeem et al. 2020 (arXiv:2002.09797), eq. 3 and 4, points on the rim counted."""
  radii = [sorted(distance.euclidean(point, other) for other in real)[k] for point in real]
  held = np.array([
    [distance.euclidean(point, centre) <= radius for point in fake]
    for centre, radius in zip(real, radii, strict=True)
  ])
  return held.sum() / (k * len(fake)), held.any(axis=1).mean()


def masks(num) -> list[np.ndarray]:
  """Every way to mask one token or more of num."""
  return [np.array(mask) for mask in itertools.product([False, True], repeat=num) if any(mask)]
