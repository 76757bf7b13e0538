"""Buckets for tests: the emulator of tests/emulator.py, reached by gcsfs where it is installed, and
else by a stand-in for it that speaks to the same emulator. What reads and writes arrays,
tensorstore, is the real one in any case.
"""

import http.client
import importlib.util
import io
import json
import os
import sys
import threading
import types
import urllib.parse

import fsspec

from adiff.machine import storage

REAL = importlib.util.find_spec('gcsfs') is not None


def connect(url) -> None:
  """From now on gs:// is the emulator at `url`, in this process."""
  os.environ.update({
    'STORAGE_EMULATOR_HOST': url, 'TENSORSTORE_GCS_HTTP_URL': url,
    'GOOGLE_AUTH_TOKEN_FOR_TESTING': 'none', 'NO_GCE_CHECK': 'true',
    'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',  # asks elsewhere what kind of bucket it is
  })
  if not REAL:
    fsspec.register_implementation('gcs', Buckets, clobber=True)
    module = types.ModuleType('google.cloud.storage')  # which orbax asks the same
    module.Client = _Client
    sys.modules['google.cloud.storage'] = module


def upload(place, target) -> None:
  """Copies a file or a folder into a bucket."""
  files = [path for path in place.rglob('*') if path.is_file()] if place.is_dir() else [place]
  for path in files:
    storage.put(path, f'{target}/{path.relative_to(place).as_posix()}'.removesuffix('/.'))


class _Client:
  def get_bucket(self, name):
    """A bucket of the plain kind."""
    return types.SimpleNamespace(name=name)


class HttpError(Exception):
  """As gcsfs.retry's."""

  def __init__(self, code, text):
    super().__init__(text)
    self.code = code


class Buckets(fsspec.AbstractFileSystem):
  """What adiff and epath ask of gcsfs.GCSFileSystem, with its errors."""

  protocol = ('gs', 'gcs')

  def __init__(self, **options):
    super().__init__(**options)
    self._url = urllib.parse.urlsplit(os.environ['STORAGE_EMULATOR_HOST'])
    self.base = f'{self._url.geturl()}/storage/v1/'
    self._local = threading.local()

  def call(self, method, path, *parts, data=None, headers=None, json_out=False, **query):
    """One request; raises as gcsfs.retry.validate_response."""
    place = path.format(*(urllib.parse.quote(part, safe='') for part in parts))
    place = place if place.startswith('http') else self.base + place
    place = f'{urllib.parse.urlsplit(place).path}?{urllib.parse.urlencode(query)}'
    if not hasattr(self._local, 'connection'):
      self._local.connection = http.client.HTTPConnection(self._url.netloc, timeout=30)
    connection = self._local.connection
    connection.request(method, place, data, headers or {})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status == 404:
      raise FileNotFoundError(path)
    if answer.status == 412:
      raise FileExistsError(path)
    if answer.status >= 400:
      text = json.loads(content)['error']['message']
      raise OSError(f'Forbidden: {path}\n{text}') if answer.status == 403 else HttpError(
        answer.status, text
      )
    return json.loads(content) if json_out else (answer.headers, content)

  def _list(self, path, **query):
    bucket, _, prefix = path.partition('/')
    found = self.call('GET', 'b/{}/o', bucket, prefix=prefix, json_out=True, **query)
    return found['items'], found['prefixes']

  def _about(self, resource):
    return {
      **resource, 'name': f'{resource["bucket"]}/{resource["name"]}', 'type': 'file',
      'size': int(resource['size']),
    }

  def _folder(self, path):
    return {'name': path, 'size': 0, 'type': 'directory'}

  def info(self, path, **options):
    """Facts of an object or a folder."""
    path = self._strip_protocol(path)
    bucket, _, name = path.partition('/')
    if not name:
      self.call('GET', 'b/{}', bucket)
      return self._folder(path)
    try:
      return self._about(self.call('GET', 'b/{}/o/{}', bucket, name, json_out=True))
    except FileNotFoundError:
      if not any(self._list(f'{path}/', maxResults=1, delimiter='/')):
        raise
      return self._folder(path)

  def ls(self, path, detail=True, **options):
    """What lies directly in a folder."""
    path = self._strip_protocol(path)
    items, folders = self._list(f'{path}/', delimiter='/')
    found = [self._about(item) for item in items]
    bucket = path.split('/')[0]
    found += [self._folder(f'{bucket}/{folder.rstrip("/")}') for folder in folders]
    if not found:
      found = [self.info(path)]
    return found if detail else [one['name'] for one in found]

  def find(self, path, maxdepth=None, withdirs=False, detail=False, **options):
    """All objects below a folder, and the folders between where they are asked for."""
    path = self._strip_protocol(path)
    found = {one['name']: one for one in map(self._about, self._list(f'{path}/')[0])}
    if withdirs:
      for name in list(found):
        parts = name[len(path) + 1:].split('/')
        for depth in range(1, len(parts)):
          folder = '/'.join([path, *parts[:depth]])
          found[folder] = self._folder(folder)
    if maxdepth is not None:
      found = {
        name: one for name, one in found.items() if name[len(path):].count('/') <= maxdepth
      }
    return dict(sorted(found.items())) if detail else sorted(found)

  def cat_file(self, path, start=None, end=None, **options):
    """The bytes of an object."""
    bucket, _, name = self._strip_protocol(path).partition('/')
    return self.call('GET', 'b/{}/o/{}', bucket, name, alt='media')[1][start:end]

  def pipe_file(self, path, value, mode='overwrite', **options):
    """Writes an object."""
    bucket, _, name = self._strip_protocol(path).partition('/')
    place = self.base.replace('/storage/v1/', '/upload/storage/v1/')
    expected = {'ifGenerationMatch': 0} if mode == 'create' else {}
    self.call(
      'POST', f'{place}b/{{}}/o', bucket, uploadType='media', name=name, data=value, **expected
    )

  def put_file(self, lpath, rpath, callback=None, mode='overwrite', **options):
    """Writes an object from a file."""
    with open(lpath, 'rb') as file:
      self.pipe_file(rpath, file.read(), mode)

  def _open(self, path, mode='rb', **options):
    return io.BytesIO(self.cat_file(path)) if mode == 'rb' else _Writing(self, path)

  def cp_file(self, path1, path2, **options):
    """Copies an object."""
    (one, _, name), (other, _, copy) = (
      self._strip_protocol(path).partition('/') for path in (path1, path2)
    )
    self.call('POST', 'b/{}/o/{}/rewriteTo/b/{}/o/{}', one, name, other, copy)

  def rm_file(self, path):
    """Deletes an object."""
    bucket, _, name = self._strip_protocol(path).partition('/')
    self.call('DELETE', 'b/{}/o/{}', bucket, name)

  def rm(self, path, recursive=False, maxdepth=None):
    """Deletes an object, or all below a folder."""
    path = self._strip_protocol(path)
    for name in self.find(path) or [path]:
      self.rm_file(name)

  def mkdir(self, path, create_parents=True, **options):
    """There are no folders."""

  def makedirs(self, path, exist_ok=False):
    """There are no folders."""


class _Writing(io.BytesIO):
  """A file that becomes an object when it is closed."""

  def __init__(self, buckets, path):
    super().__init__()
    self._buckets, self._path = buckets, path

  def close(self):
    if not self.closed:
      self._buckets.pipe_file(self._path, self.getvalue())
    super().close()
