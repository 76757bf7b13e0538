"""What a program moves between devices is read from its text: against programs that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from adiff.machine import collectives, sharding
from adiff.nn import layout

pytestmark = pytest.mark.skipif(jax.device_count() != 8, reason='needs 8 devices')
STEPS, SIZE = 5, 16
rank = lambda axes: jax.lax.axis_index(axes).astype(jnp.float32)  # differs among devices


def moved(mesh, body, out):
  """Bytes of five rounds of `body` on float32 [16], whole on every device."""
  one = jax.shard_map(body, mesh=mesh, in_specs=P(), out_specs=out, check_vma=False)

  def run(x):
    return jax.lax.scan(lambda x, _: (x + jnp.sum(one(x)), None), x, None, length=STEPS)[0]

  text = jax.jit(run).lower(jnp.zeros(SIZE)).compile().as_text()
  return {key: size for key, size in collectives.moved(text, mesh).items() if size > 4 * STEPS}


@pytest.mark.parametrize('axes', [('data',), ('fsdp',), ('tensor',), ('data', 'tensor')])
def test_a_sum_in_a_loop_counts_once_a_round_along_its_axes(axes):
  mesh = sharding.make_mesh(data=2, fsdp=2, tensor=2)
  sums = moved(mesh, lambda x: jax.lax.psum(x * rank(axes), axes), P())
  assert sums == {('all-reduce', '+'.join(axes)): 4 * SIZE * STEPS}


def test_a_gather_counts_what_it_ends_with():
  mesh = sharding.make_mesh(data=2, fsdp=4)
  gather = lambda x: jax.lax.all_gather(x[:4] * rank('fsdp'), 'fsdp', tiled=True)
  assert moved(mesh, gather, P()) == {('all-gather', 'fsdp'): 4 * SIZE * STEPS}


def test_a_call_that_is_taken_apart_counts_once():
  """As TPU programs are written: a start, a part in between and an end, one channel, named axes."""
  mesh = sharding.make_mesh(data=2, fsdp=4)
  call = ("= bf16[8,4]{1,0:T(8,128)} all-gather(%p), channel_id=7, "
          "replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}, dimensions={0}")
  text = f'''
%body (p: bf16[2,4]) -> bf16[8,4] {{
  %start {call}
  %middle {call}
}}, metadata={{op_name="a text of several lines"
}}
%below (p: s32[]) -> pred[] {{
  %limit = s32[]{{:T(128)}} constant(3)
  ROOT %lt = pred[] compare(%p, %limit), direction=LT
}}
ENTRY %main (p: bf16[2,4]) -> bf16[8,4] {{
  %loop = (s32[], bf16[2,4]) while(%p), condition=%below, body=%body
  %a = f32[6]{{0}} all-reduce(%q), channel_id=9, replica_groups={{{{0,4}},{{1,5}},{{2,6}},{{3,7}}}}
}}
'''
  assert collectives.moved(text, mesh) == {
    ('all-gather', 'fsdp'): 3 * 64, ('all-reduce', 'data'): 24,
  }


def test_what_the_hosts_of_tpus_carry_to_another_slice_is_counted():
  """As libtpu 0.0.52 writes it: summed inside the slice before, so each device sends its share."""
  mesh = sharding.make_mesh(data=2, fsdp=2, slices=2)
  text = '''ENTRY %main (p: f32[3]) -> f32[3] {
  %send = (f32[2,1,128]{2,1,0:T(1,128)}, u32[], token[]) send(%fusion, %after), channel_id=2, \
is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}
  %send.1 = (f32[9]{0}, u32[], token[]) send(%p, %after), channel_id=3, is_host_transfer=true
}
'''
  moved = collectives.moved(text, mesh)
  assert moved == {('send', 'slices'): 1024} and collectives.leaving(moved, mesh) == 4 * 1024


@pytest.mark.parametrize('axes, leaves', [
  # 3 bytes of each of 8 / 2 / 2 groups of devices of a slice that have one sum
  ('slices+data', 6), ('slices', 12), ('slices+data+fsdp', 3), ('data+fsdp', 0),
])
def test_what_leaves_a_slice_leaves_it_once_its_devices_have_summed(axes, leaves):
  mesh = sharding.make_mesh(data=2, fsdp=2, slices=2)
  assert collectives.leaving({('all-reduce', axes): 3, ('all-gather', 'fsdp'): 100}, mesh) == leaves


@pytest.mark.parametrize('groups, axes', [
  ('replica_groups={{0,1,2,3},{4,5,6,7}}', 'fsdp'), ('replica_groups=[4,2]<=[2,4]T(1,0)', 'data'),
  ('replica_groups=[1,8]<=[8]', 'data+fsdp'), ('replica_groups={}', 'data+fsdp'),
  ("replica_groups=mesh['a'=2,'b'=4] {'a'}", 'data'), ('source_target_pairs={{0,4},{4,0}}', 'data'),
])
def test_every_way_to_write_groups_is_read(groups, axes):
  mesh = sharding.make_mesh(data=2, fsdp=4)
  assert mesh.axis_names == layout.AXES and np.size(mesh.devices) == 8
  text = f'ENTRY %main (p: f32[3]) -> f32[3] {{\n  %a = f32[3]{{0}} all-reduce(%p), {groups}\n}}\n'
  assert collectives.moved(text, mesh) == {('all-reduce', axes): 12}
