"""The quantisers of vector-quantize-pytorch, at the same weights and inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adiff.nn.quantisers import bits, entropy, fsq, residual, resize, vq

MISSING = 'the peers extra (torch, vector-quantize-pytorch) is not installed'
torch = pytest.importorskip('torch', reason=MISSING)
peers = pytest.importorskip('vector_quantize_pytorch', reason=MISSING)

DIM, VOCAB, STEPS = 4, 12, 3
Z = np.random.default_rng(0).normal(size=(STEPS, 5, 6, DIM)).astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(5, 6, DIM)).astype(np.float32)


def close(ours, theirs, what):
  np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=1e-5, atol=1e-5,
                             err_msg=what)


def gradient_of(made, z, losses=1.0):
  """d (sum of WEIGHT * quantised + losses * loss) / dz of a peer's (quantised, codes, loss)."""
  total = (made[0] * torch.tensor(WEIGHT[..., :z.shape[-1]])).sum() + losses * made[2].sum()
  (found,) = torch.autograd.grad(total, z, retain_graph=True)
  return found


def ours(of, extra, z, losses=1.0, outputs=1.0):
  """(Quantised, gradient of the same)."""

  def total(z):
    made = of({}, extra, z, jax.random.key(0), True)
    value = outputs * jnp.sum(WEIGHT[..., :z.shape[-1]] * made.z)
    return value + losses * sum(made.losses.values()), made

  gradient, made = jax.jit(jax.grad(total, has_aux=True))(z)
  return made, gradient


def begun(codebook, seed=2):
  """State of a codebook all codes of which have been used once."""
  vectors = np.random.default_rng(seed).normal(size=codebook.begin()['vectors'].shape)
  vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True) if codebook.cosine else 1
  vectors = vectors.astype(np.float32)
  return {'vectors': vectors, 'count': np.ones(VOCAB, np.float32), 'sum': vectors}


def give(peer, state):
  """A peer's codebook takes a state."""
  names = {'embed': 'vectors', 'embed_avg': 'sum', 'cluster_size': 'count'}
  for theirs, name in names.items():
    getattr(peer._codebook, theirs).data.copy_(torch.tensor(np.array(state[name]))[None])


def same_state(state, peer, row=slice(None)):
  for theirs, name in {'embed': 'vectors', 'embed_avg': 'sum', 'cluster_size': 'count'}.items():
    close(state[name][row], getattr(peer._codebook, theirs)[0], name)


@pytest.mark.parametrize('rotation', [False, True])
@pytest.mark.parametrize('cosine', [False, True])
def test_vectors_losses_gradients_and_running_means_are_the_peers(cosine, rotation):
  of = vq.Vq(VOCAB, DIM, cosine, rotation, decay=0.8, restart=0.0, commitment=0.7)
  peer = peers.VectorQuantize(
    DIM, VOCAB, use_cosine_sim=cosine, rotation_trick=rotation, decay=0.8, commitment_weight=0.7,
    eps=0,
  )
  extra = begun(of.book)
  give(peer, extra)
  for z in Z:
    theirs_z = torch.tensor(z, requires_grad=True)
    theirs = peer(theirs_z)
    made, gradient = ours(of, extra, z)
    np.testing.assert_array_equal(made.codes, theirs[1])
    close(made.z, theirs[0], 'quantised')
    close(made.losses['commitment'], theirs[2], 'loss')
    close(gradient, gradient_of(theirs, theirs_z), 'gradient')
    extra = made.extra
    same_state(extra, peer)


def test_the_entropy_of_the_mean_is_the_peers():
  of = vq.Vq(VOCAB, DIM, cosine=True, temperature=0.4)
  peer = peers.VectorQuantize(
    DIM, VOCAB, use_cosine_sim=True, codebook_diversity_loss_weight=1.0, commitment_weight=0.0,
    codebook_diversity_temperature=2 / of.temperature,
  )
  extra = begun(of.book)
  give(peer, extra)
  rows = Z[0].reshape(-1, 1, DIM)  # the peer has an entropy a place
  theirs = peer(torch.tensor(rows), return_loss_breakdown=True)[3].codebook_diversity
  unit = rows.reshape(-1, DIM) / np.linalg.norm(rows.reshape(-1, DIM), axis=-1, keepdims=True)
  found = entropy.of_logits(of.book.affinity(jax.tree.map(jnp.asarray, extra), unit) / 0.4).mean
  close(-found, theirs, 'entropy')


def test_residuals_are_the_peers():
  of = residual.Residual(3, VOCAB, DIM, decay=0.8, restart=0.0, commitment=0.7)
  states = [begun(of.code, seed) for seed in range(of.depth)]
  extra = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
  # With quant_grad_frac=1 the peer's outputs pass the gradient once and not once a depth; its
  # losses reach the encoder from every depth with 0.
  of_outputs, of_losses = (
    peers.ResidualVQ(
      dim=DIM, num_quantizers=of.depth, codebook_size=VOCAB, rotation_trick=False, decay=0.8,
      commitment_weight=0.7, eps=0, quant_grad_frac=frac,
    ) for frac in (1.0, 0.0)
  )
  for peer in (of_outputs, of_losses):
    for layer, state in zip(peer.layers, states, strict=True):
      give(layer, state)
  for z in Z:
    theirs_z = torch.tensor(z, requires_grad=True)
    theirs = of_outputs(theirs_z)
    made, gradient = ours(of, extra, z, losses=0.0)
    np.testing.assert_array_equal(
      made.codes.reshape(5, of.depth, 6), theirs[1].permute(0, 2, 1)
    )
    close(made.z, theirs[0], 'quantised')
    close(made.losses['commitment'], theirs[2].mean(), 'loss')
    close(gradient, gradient_of(theirs, theirs_z, losses=0.0), 'gradient of outputs')
    loss = of_losses(theirs_z)[2].mean()
    _, gradient = ours(of, extra, z, outputs=0.0)
    close(gradient, torch.autograd.grad(loss, theirs_z)[0], 'gradient of losses')
    extra = made.extra
    for depth, layer in enumerate(of_outputs.layers):
      same_state(extra, layer, depth)


@pytest.mark.parametrize('levels', [(8, 5, 5, 4), (3, 7)])
def test_rounded_channels_are_the_peers(levels):
  z = 1.5 * Z[0][..., :len(levels)]
  theirs_z = torch.tensor(z, requires_grad=True)
  quantised, codes = peers.FSQ(list(levels))(theirs_z)
  made, gradient = ours(fsq.Fsq(levels), {}, z)
  np.testing.assert_array_equal(made.codes, codes)
  close(made.z, quantised, 'quantised')
  close(gradient, gradient_of((quantised, codes, torch.zeros(1)), theirs_z), 'gradient')


@pytest.mark.parametrize('sphere', [False, True])
def test_bits_and_the_entropies_of_their_factors_are_the_peers(sphere):
  of = bits.Bits(DIM, sphere, commitment=0.7, entropy=0.3, diversity=0.6, temperature=1.3)
  peer = peers.LFQ(
    dim=DIM, spherical=sphere, commitment_loss_weight=0.7, entropy_loss_weight=0.3,
    diversity_gamma=0.6,
  )
  z = 0.5 * Z[0]
  theirs_z = torch.tensor(z, requires_grad=True)
  theirs, parts = peer(
    theirs_z, inv_temperature=1 / (of.step**2 * of.temperature), return_loss_breakdown=True
  )
  made, gradient = ours(of, {}, z)
  np.testing.assert_array_equal(made.codes, theirs[1])
  close(made.z, theirs[0], 'quantised')
  close(made.losses['commitment'], 0.7 * parts.commitment, 'commitment')
  expected = 0.3 * (parts.per_sample_entropy - 0.6 * parts.batch_entropy)
  close(made.losses['entropy'], expected, 'entropy')
  close(gradient, gradient_of(theirs, theirs_z), 'gradient')


@pytest.mark.parametrize('mode', ['area', 'bicubic'])
@pytest.mark.parametrize('shape', [(3, 2), (7, 5), (11, 1), (16, 16)])
def test_sizes_change_as_in_torch(mode, shape):
  z = np.random.default_rng(3).normal(size=(2, 7, 5, 3)).astype(np.float32)
  theirs = torch.nn.functional.interpolate(torch.tensor(z).permute(0, 3, 1, 2), shape, mode=mode)
  close(resize.resized(z, shape, getattr(resize, mode)), theirs.permute(0, 2, 3, 1), mode)
