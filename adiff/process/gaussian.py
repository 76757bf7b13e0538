r"""Gaussian noise: xt = alpha(t) x0 + sigma(t) eps.

*Schedules* t -> (alpha, sigma), with log-SNR l = 2 log(alpha / sigma):
  cosine  (cos, sin)(pi t / 2). Nichol & Dhariwal 2021 (arXiv:2102.09672), without offset
  linear  alpha^2 = exp(-b0 t - (b1 - b0) t^2 / 2), b0 = 0.1, b1 = 20; variance preserving. Song et
          al. 2021 (arXiv:2011.13456), eq. 33
  flow    (1 - t, t). Rectified flow, Liu et al. 2023 (arXiv:2209.03003)

*Predictions* are two coefficients, x0_hat = skip(t) xt + scale(t) out:
  x0    0                            1
  eps   1 / alpha                    -sigma / alpha                 needs alpha(1) > 0
  v     alpha / (alpha^2 + sigma^2)  -sigma / (alpha^2 + sigma^2)   Salimans & Ho 2022, 2202.00512
  flow  1 / (alpha + sigma)          -sigma / (alpha + sigma)       out = eps - x0

so the target is (x0 - skip xt) / scale, and |x0_hat - x0|^2 = scale^2 |out - target|^2.

*The step* t -> s is DDIM's (Song et al. 2021, arXiv:2010.02502, eq. 12 and 16) for any (alpha,
sigma): eta = 0 is the deterministic step (Euler's for flow), eta = 1 the ancestral one.

*The bound* is the diffusion loss of VDM (Kingma et al. 2021, arXiv:2107.00630, eq. 15) in the
log-SNR, between two finite ends, plus its two remaining terms in closed form:
  -log p(x0) <= KL(q(x | x0, l_min) || N(0, 1)) + 1/2 int_{l_min}^{l_max} e^l E|x0 - x0_hat|^2 dl +
  reconstruction(l_max)
*Dequantisation*, stated: with `bin` None, x0 is continuous and p(x0 | x at l_max) = N(x / alpha,
sigma^2 / alpha^2): a density. With `bin` the width of a quantisation step, x0 lies on that lattice
and p is the same normal restricted to the lattice: a probability, comparable with discrete models;
no noise is added to the data.
"""

import dataclasses
import math
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np

from adiff.process import base
from adiff.sequence import values


def _log_snr_cosine(log_snr):
  return 2 / math.pi * jnp.arctan(jnp.exp(-log_snr / 2))


def _log_snr_flow(log_snr):
  return jax.nn.sigmoid(-log_snr / 2)


def _log_snr_linear(log_snr):
  # log alpha^2 = log sigmoid(l), a quadratic in t.
  return (jnp.sqrt(0.1**2 + 2 * 19.9 * jax.nn.softplus(-log_snr)) - 0.1) / 19.9


def _linear(t):
  log_alpha2 = -0.1 * t - 19.9 / 2 * t**2
  return jnp.exp(log_alpha2 / 2), jnp.sqrt(-jnp.expm1(log_alpha2))


# name: (t -> (alpha, sigma), log-SNR -> t, is alpha(1) zero?)
SCHEDULES = {
  'cosine': (lambda t: (jnp.cos(math.pi / 2 * t), jnp.sin(math.pi / 2 * t)), _log_snr_cosine, True),
  'linear': (_linear, _log_snr_linear, False),
  'flow': (lambda t: (1 - t, t), _log_snr_flow, True),
}

# name: (alpha, sigma) -> (skip, scale)
PREDICTIONS = {
  'x0': lambda a, s: (jnp.zeros_like(a), jnp.ones_like(a)),
  'eps': lambda a, s: (1 / a, -s / a),
  'v': lambda a, s: (a / (a**2 + s**2), -s / (a**2 + s**2)),
  'flow': lambda a, s: (1 / (a + s), -s / (a + s)),
}

LogSnr = Annotated[float, values.between(-50, 50)]  # beyond, alpha or sigma is 0 in 32 bits


@dataclasses.dataclass(frozen=True)
class Gaussian(base.Process):
  """Gaussian noise on tokens of `dim` floats.

  weight: 'plain' (mean squared error of the prediction), 'min_snr' (Hang et al. 2023,
  arXiv:2303.09556: min(SNR, gamma) on the error of x0), or 'velocity' (that of v and flow whatever
  is predicted, as in Li and He 2025, arXiv:2511.13720, but bounded: min(1 / sigma^2, gamma)).
  eta: 0 deterministic .. 1 ancestral steps; temperature: of the noise that these add, 1: as it is.
  clip: bound on |x0_hat| in sampling; 0: none.
  bin: width of a quantisation step of the data, or None. log_snr: (min, max) of the bound.
  """

  dim: int
  schedule: Annotated[str, values.one_of(*SCHEDULES)] = 'cosine'
  prediction: Annotated[str, values.one_of(*PREDICTIONS)] = 'v'
  weight: Annotated[str, values.one_of('plain', 'min_snr', 'velocity')] = 'plain'
  gamma: values.Positive = 5.0
  eta: values.Share = 0.0
  temperature: values.NotNegative = 1.0
  clip: values.NotNegative = 1.0
  bin: values.Positive | None = None
  log_snr: tuple[LogSnr, LogSnr] = (-10.0, 9.0)

  discrete = False
  has_ode = True

  def __post_init__(self):
    values.check_fields(self, 'process')
    if self.prediction == 'eps' and SCHEDULES[self.schedule][2]:
      raise ValueError(
        f'process.prediction=eps divides by alpha(1) = 0 of schedule {self.schedule!r}; write '
        'prediction=v, or schedule=linear'
      )
    if not self.log_snr[0] < self.log_snr[1]:
      raise ValueError(
        f'process.log_snr={values.shown(self.log_snr)} must be (low, high) with low < high'
      )

  @property
  def num_inputs(self) -> int:
    return self.dim

  @property
  def num_outputs(self) -> int:
    return self.dim

  def scales(self, t):
    """(alpha, sigma) at t [..] -> [.., 1]."""
    alpha, sigma = SCHEDULES[self.schedule][0](t)
    return alpha[..., None], sigma[..., None]

  def prior(self, key, shape):
    return base.sampled(jax.random.normal, key, (*shape, self.dim))

  def add_noise(self, key, x0, t):
    alpha, sigma = self.scales(t)
    return alpha * x0 + sigma * base.sampled(jax.random.normal, key, x0.shape)

  def x0_hat(self, out, xt, t):
    skip, scale = PREDICTIONS[self.prediction](*self.scales(t))
    return skip * xt + scale * out.astype(xt.dtype)

  def loss(self, out, x0, xt, t):
    alpha, sigma = self.scales(t)
    skip, scale = PREDICTIONS[self.prediction](alpha, sigma)
    known = t == 0
    target = (x0 - skip * xt) / jnp.where(scale == 0, 1, scale)
    error = jnp.mean((out.astype(x0.dtype) - target) ** 2, axis=-1)
    if self.weight != 'plain':
      above = alpha**2 if self.weight == 'min_snr' else jnp.ones_like(alpha)
      ratio = above / jnp.where(sigma == 0, 1, sigma) ** 2
      error *= (jnp.minimum(ratio, self.gamma) * scale**2)[..., 0]
    return jnp.where(known, 0, error)

  def move(self, xt, x0, t, s):
    """The deterministic step with x0 as the estimate: exact where x0_hat is constant on the way."""
    (a_t, s_t), (a_s, s_s) = self.scales(t), self.scales(s)
    ratio = s_s / jnp.where(s_t == 0, 1, s_t)
    return jnp.where((s == t)[..., None], xt, ratio * xt + (a_s - a_t * ratio) * x0)

  def velocity(self, xt, x0, t):
    """alpha' x0 + sigma' eps_hat: the probability-flow ODE (Song et al. 2021, arXiv:2011.13456, eq.
    13) of a path alpha x0 + sigma eps."""
    (alpha, sigma), (d_alpha, d_sigma) = jax.jvp(self.scales, (t,), (jnp.ones_like(t),))
    return d_alpha * x0 + d_sigma * (xt - alpha * x0) / sigma

  def estimate(self, out, xt, t):
    """x0_hat as sampling uses it: clipped where `clip` says so."""
    x0 = self.x0_hat(out, xt, t)
    return jnp.clip(x0, -self.clip, self.clip) if self.clip else x0

  def step(self, key, out, xt, t, s):
    x0 = self.estimate(out, xt, t)
    if self.eta == 0:
      return self.move(xt, x0, t, s)
    mean, deviation = self.reverse(x0, xt, t, s)
    return mean + deviation * base.sampled(jax.random.normal, key, xt.shape)

  def reverse(self, x0, xt, t, s):
    (a_t, s_t), (a_s, s_s) = self.scales(t), self.scales(s)
    safe = jnp.where(s_t == 0, 1, s_t)
    eps = (xt - a_t * x0) / safe
    # ratio^2 = SNR(t) / SNR(s); written so that nothing cancels at alpha(t) = 0.
    ratio = a_t * s_s / (jnp.where(a_s == 0, 1, a_s) * safe)
    fresh = self.eta**2 * jnp.maximum(1 - ratio**2, 0)
    kept = jnp.sqrt(jnp.maximum(1 - self.eta**2 + (self.eta * ratio) ** 2, 0))
    stays = (s == t)[..., None]
    mean = jnp.where(stays, xt, a_s * x0 + s_s * kept * eps)
    return mean, jnp.where(stays, 0, self.temperature * s_s * jnp.sqrt(fresh))

  def levels(self, count):
    """[count] levels, even in log-SNR from one end of the bound to the other."""
    low, high = self.log_snr
    return SCHEDULES[self.schedule][1](jnp.linspace(high, low, count))

  def reading(self, x0, xt, t):
    alpha, sigma = self.scales(t)
    width = sigma / alpha
    miss = (xt / alpha - x0) / width
    if self.bin is None:
      return jnp.sum(miss**2 / 2 + jnp.log(width) + 0.5 * math.log(2 * math.pi), axis=-1)
    lattice = jnp.asarray(self._lattice(math.exp(-self.log_snr[1] / 2)), x0.dtype)
    others = miss[..., None] - lattice.reshape(1, 1, 1, -1) / width[..., None]
    return jnp.sum(miss**2 / 2 + jax.nn.logsumexp(-(others**2) / 2, axis=-1), axis=-1)

  def bound_noise(self, key, x0, u, blocks, free):
    low, high = self.log_snr
    t = SCHEDULES[self.schedule][1](high - (high - low) * blocks.per_token(u))
    return self.add_noise(key, x0, t), t

  def bound(self, out, x0, xt, t):
    low, high = self.log_snr
    alpha, sigma = self.scales(t)
    error = jnp.sum((alpha / sigma) ** 2 * (self.x0_hat(out, xt, t) - x0) ** 2, axis=-1)
    return 0.5 * (high - low) * error + self.beside_levels(x0, xt, t)

  def beside_levels(self, x0, xt, t):
    low, high = self.log_snr
    alpha, sigma = self.scales(t)
    # Control variates, which leave the mean as it is: what the error would be for a normal, once
    # given the level (its mean over levels is known) and once given the noise (E[eps^2] = 1).
    eps = (xt - alpha * x0) / sigma
    usual = self._usual_error((alpha / sigma) ** 2)
    mean = float(np.mean(self._usual_error(np.exp(np.linspace(low, high, 4001)))))
    variates = jnp.sum(mean - usual - usual**2 * (eps**2 - 1), axis=-1)
    a2, s2 = 1 / (1 + math.exp(-low)), 1 / (1 + math.exp(low))
    if self.schedule == 'flow':  # alpha + sigma = 1 instead of alpha^2 + sigma^2 = 1
      norm = (math.sqrt(a2) + math.sqrt(s2)) ** 2
      a2, s2 = a2 / norm, s2 / norm
    prior = 0.5 * jnp.sum(a2 * x0**2 + s2 - 1 - math.log(s2), axis=-1)
    read = self.dim * self._reconstruction(math.exp(-high / 2))
    return prior + 0.5 * (high - low) * variates + read

  def _usual_error(self, snr):
    """snr |x0 - x0_hat|^2 for a normal of variance 0.1; on a lattice, 0 once a step is seen."""
    usual = 0.1 * snr / (1 + 0.1 * snr)
    lattice = 0.0 if self.bin is None else self.bin
    return usual * (jnp.exp if isinstance(snr, jax.Array) else np.exp)(-snr * lattice**2 / 8)

  def _reconstruction(self, width) -> float:
    """Nats per dimension of p(x0 | x at l_max), width = sigma / alpha there."""
    if self.bin is None:
      return 0.5 * math.log(2 * math.pi * math.e * width**2)
    # E_z log sum_j exp(-((j r + z)^2 - z^2) / 2), r = bin / width: an interior lattice point, the
    # dearest case.
    z, weight = np.polynomial.hermite_e.hermegauss(64)
    j = self._lattice(width)[:, None] / width
    return float(
      np.sum(weight * np.log(np.sum(np.exp(-(j**2) / 2 - j * z), axis=0))) / math.sqrt(2 * math.pi)
    )

  def _lattice(self, width) -> np.ndarray:
    """Distances to the neighbours of a lattice point, those within 12 widths."""
    reach = max(1, math.ceil(12 * width / self.bin))
    return np.arange(-reach, reach + 1) * self.bin
