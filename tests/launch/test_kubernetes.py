"""launch/k8s.sh: the job that it hands over, against the rules of Kubernetes and of JobSet."""

import json
import os
import pathlib
import re
import shlex

import pytest
import yaml
from launchers import K8S, XPK, job, pod


def outcome(jobset, code=None, disrupted=False):
  """What JobSet does when a process ends: the rules of the job name a reason, those of the set act.

  As in the documentation of both: the first rule that fits decides, and the default restarts.
  """
  (job,) = jobset['spec']['replicatedJobs']
  reason, message = 'BackoffLimitExceeded', 'Job has reached the specified backoff limit'
  for rule in job['template']['spec']['podFailurePolicy']['rules']:
    codes = rule.get('onExitCodes')
    if codes and code in codes['values']:
      reason = 'PodFailurePolicy'
      message = f'Container adiff for pod ours/toy-0 failed with exit code {code} matching'
      break
    if disrupted and 'DisruptionTarget' in json.dumps(rule):
      reason, message = 'PodFailurePolicy', 'Pod ours/toy has condition DisruptionTarget matching'
      break
  for rule in jobset['spec']['failurePolicy']['rules']:
    patterns = rule.get('onJobFailureMessagePatterns')
    if reason in rule['onJobFailureReasons'] and (
        not patterns or any(re.search(pattern, message) for pattern in patterns)):
      return rule['action']
  return 'RestartJobSet'


@pytest.mark.parametrize('how, action', [
  ({'code': 75}, 'RestartJobSetAndIgnoreMaxRestarts'),
  ({'disrupted': True}, 'RestartJobSetAndIgnoreMaxRestarts'),
  ({'code': 75, 'disrupted': True}, 'RestartJobSetAndIgnoreMaxRestarts'),
  ({'code': 2}, 'FailJobSet'),
  ({'code': 1}, 'RestartJobSet'),
  ({'code': 137}, 'RestartJobSet'),
])
def test_kubernetes_restarts_after_75_without_counting_and_fails_after_2(desk, how, action):
  assert outcome(job(desk), **how) == action


def test_the_job_is_one_process_a_host_that_finds_the_first_one_by_name(desk):
  jobset = job(desk)
  (one,) = jobset['spec']['replicatedJobs']
  spec = one['template']['spec']
  assert spec['completionMode'] == 'Indexed' and spec['backoffLimit'] == 0
  assert spec['completions'] == spec['parallelism'] == 4 and one['replicas'] == 1
  (container,) = pod(jobset)['containers']
  host = f'{jobset["metadata"]["name"]}-{one["name"]}-0-0.{jobset["metadata"]["name"]}'
  assert container['command'][-1] == f'--processes=$(JOB_COMPLETION_INDEX)/4@{host}:8476'
  assert container['args'] == list(K8S[2:])
  for rule in spec['podFailurePolicy']['rules']:
    assert rule.get('onExitCodes', {}).get('containerName', 'adiff') == container['name']
  assert pod(jobset)['restartPolicy'] == 'Never'  # else the cluster forbids rules on exit codes


def names(value) -> set:
  """The fields of a JobSet, at any depth."""
  if isinstance(value, list):
    return set().union(*map(names, value))
  if not isinstance(value, dict):
    return set()
  return set(value).union(*(names(v) for key, v in value.items() if key != 'limits'))


def test_the_job_has_fields_that_kubernetes_knows_alone(desk):
  assert names(job(desk)) == {
    # JobSet
    *('apiVersion kind metadata name spec failurePolicy maxRestarts rules action').split(),
    *('onJobFailureReasons onJobFailureMessagePatterns network enableDNSHostnames').split(),
    *('publishNotReadyAddresses replicatedJobs replicas template').split(),
    # Job
    *('completionMode completions parallelism backoffLimit podFailurePolicy onExitCodes').split(),
    *('containerName operator values onPodConditions type status').split(),
    # Pod
    *('restartPolicy terminationGracePeriodSeconds containers image command args').split(),
    *('resources limits volumeMounts mountPath volumes').split(),
    *('persistentVolumeClaim claimName').split(),
  }


def test_the_job_fits_the_schema_of_a_cluster(desk):
  jsonschema = pytest.importorskip('jsonschema')
  path = os.environ.get('JOBSET_CRD')
  if not path:
    pytest.skip('JOBSET_CRD names no file; see kubectl get crd jobsets.jobset.x-k8s.io -o yaml')
  versions = yaml.safe_load(pathlib.Path(path).read_text())['spec']['versions']
  (version,) = (one for one in versions if one['name'] == 'v1alpha2')
  schema = version['schema']['openAPIV3Schema']
  jobset = job(desk)
  jsonschema.Draft7Validator(schema).validate(jobset)
  _check_names(jobset, schema, 'JobSet')


def _check_names(value, schema, place):
  """Fields that a schema does not name are dropped by the cluster, and typing errors are such."""
  if isinstance(value, list):
    for one in value:
      _check_names(one, schema['items'], place)
  elif isinstance(value, dict) and 'properties' in schema:
    for key, one in value.items():
      assert key in schema['properties'], f'{place} has no field {key}'
      _check_names(one, schema['properties'][key], f'{place}.{key}')


def test_a_kubernetes_run_that_is_there_is_not_handed_over_again(desk):
  desk.answer('kubectl', 'get jobset toy', 'toy ', 'toy Completed', 'toy Failed')
  for _ in range(2):
    assert desk.run(K8S).returncode == 0
    assert not desk.calls('apply') and not desk.calls('delete')
  assert desk.run(K8S).returncode == 0
  assert [call.words[0] for call in desk.calls()][-2:] == ['delete', 'apply']


def test_what_is_shown_can_be_typed(desk):
  shown = desk.run([*XPK, "--prompt=it's $HOME"], DRY_RUN='1').stderr
  words = shlex.split(shown.removeprefix('[adiff] $ '))
  assert shlex.split(words[-1])[-1] == "--prompt=it's $HOME"


def test_a_dry_run_of_kubernetes_prints_the_job(desk):
  jobset = yaml.safe_load(desk.run(K8S, DRY_RUN='1').stdout)
  assert jobset['kind'] == 'JobSet' and jobset['metadata']['name'] == 'toy'
