r"""The path KL of noise that redraws symbols: what `uniform` and `mixed` share.

A token is redrawn from a law pi at rate 1 / (1 - t): q(xt | x0) = (1 - t) 1[xt = x0] + t pi(xt).
With q_t = (1 - t) p + t pi the network's and r(y) = q(y | x0) / q(xt | x0), the path KL of the two
reversed jump processes has the integrand

  pi(xt) / (1 - t) sum_{y != xt} [ q_t(y)/q_t(xt) - r(y) + r(y) log(r(y) q_t(xt) / q_t(y)) ]
    = pi(xt) / ((1 - t) q(xt | x0)) [ KL(q(. | x0) || q_t) + z - 1 - log z ],
      z = q(xt | x0) / q_t(xt),

(the second line by sum_y q_t(y) = sum_y q(y | x0) = 1). pi may hold a mask: its own term of the KL
is zero, and at xt = mask z = 1 and pi(xt) / q(xt | x0) = 1 / t.

Near t = 1 both laws are almost pi and the KL is of the order (1 - t)^2, so a difference of their
logarithms would be rounding divided by 1 - t. With d = q_t / q - 1, where q d = (1 - t) (p - 1[y =
x0]) is known without a difference of near numbers and sums to zero, the KL is the sum over symbols
of q (d - log1p(d)), and z - 1 - log z = d^2 / (1 + d) - (d - log1p(d)) at xt.
"""

import jax
import jax.numpy as jnp

NEVER = -1e30  # log 0, finite
NEAR = 0.25  # |q_t / q - 1| up to which a series is summed


def log(p) -> jax.Array:
  """The logarithm of p >= 0; NEVER for 0, with a gradient of 0."""
  return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1)), NEVER)


def at(values, index) -> jax.Array:
  """values [.., V] at index [..]."""
  return jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def log_marginal(log_p, t, each) -> jax.Array:
  """log((1 - t) p + t pi) of the symbols, [.., V]; each: pi of one symbol."""
  return jnp.logaddexp(log(1 - t)[..., None] + log_p, log(t * each)[..., None])


def path_kl(log_p, x0, xt, t, each) -> jax.Array:
  """The integrand at t > 0, [B, N]: log_p [B, N, V] the network's; each: pi of one symbol, the rest
  of pi is the mask's, symbol V."""
  vocab = log_p.shape[-1]
  t = jnp.minimum(t, 1 - 6e-8)  # at 1 the limit is finite, but 0 / 0
  own = jax.nn.one_hot(x0, vocab, dtype=bool)
  truth = jnp.where(own, (1 - t + t * each)[..., None], (t * each)[..., None])
  change = (1 - t)[..., None] * jnp.where(own, jnp.expm1(log_p), jnp.exp(log_p))  # q_t - q
  log_ratio = log_marginal(log_p, t, each) - log(truth)  # of q_t / q
  ratio = change / jnp.where(truth > 0, truth, 1)
  near = (jnp.abs(ratio) < NEAR) & (truth > 0)
  ratio = jnp.where(near, ratio, 0)
  far = jnp.where(truth > 0, truth * log_ratio, 0)
  kl = jnp.sum(jnp.where(near, truth * _excess(ratio), change - far), axis=-1)
  masked = xt == vocab
  certain = masked | (each == 0)  # without random symbols, a symbol is the truth
  symbol = jnp.where(masked, 0, xt)
  ratio, log_z = at(ratio, symbol), jnp.where(certain, 0, -at(log_ratio, symbol))
  small = ratio**2 / (1 + ratio) - _excess(ratio)
  back = jnp.where(certain, 0, jnp.where(at(near, symbol), small, jnp.expm1(log_z) - log_z))
  weight = jnp.where(masked, 1 / t, each / at(truth, jnp.where(certain, x0, symbol)))
  return weight * (kl + back) / (1 - t)


def _excess(x):
  """x - log(1 + x) for |x| <= NEAR: with u = x / (2 + x), log(1 + x) = 2 (u + u^3 / 3 + ..)."""
  u = x / (2 + x)
  series = 0.0
  for n in range(13, 1, -2):
    series = 1 / n + u**2 * series
  return x * u - 2 * u**3 * series
