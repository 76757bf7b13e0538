"""An emulator of Google Cloud Storage on loopback: the part of its JSON API that gcsfs, tensorstore
and google.cloud.storage use.

Objects appear whole, have generations, and are written, read and deleted under preconditions, as in
the service. Buckets are made by `Emulator`; one that is called 'closed' answers 403, 'private' 401.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import itertools
import json
import re
import threading
import time
import urllib.parse

CLOSED, PRIVATE = 'closed', 'private'
_BOUNDARY = 'batch_of_answers'


@dataclasses.dataclass(frozen=True)
class Stored:
  """An object."""

  content: bytes
  generation: int
  updated: str


class Refused(Exception):
  """What the service answers instead."""

  def __init__(self, code, text):
    super().__init__(text)
    self.code, self.text = code, text


class Emulator(http.server.ThreadingHTTPServer):
  """buckets: {name: {object: Stored}}. counts: requests by method."""

  daemon_threads = True

  def __init__(self, names):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.buckets = {name: {} for name in (*names, CLOSED, PRIVATE)}
    self.lock, self.uploads, self.generations = threading.RLock(), {}, itertools.count(1)
    self.counts, self.denied = {}, False  # denied: every request is

  def handle_error(self, request, address):
    """Says nothing: clients hang up when they need no answer any more."""

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_address[1]}'

  def objects(self, bucket):
    """The objects of a bucket, or what the service says instead."""
    if bucket == CLOSED or self.denied:
      raise Refused(403, 'adiff@example.com does not have storage.objects access to the bucket.')
    if bucket == PRIVATE:
      raise Refused(401, 'Anonymous caller does not have storage.objects access to the bucket.')
    if bucket not in self.buckets:
      raise Refused(404, 'The specified bucket does not exist.')
    return self.buckets[bucket]

  def put(self, bucket, name, content, query):
    """Writes an object whole, under preconditions."""
    with self.lock:
      objects = self.objects(bucket)
      _check(objects.get(name), query)
      now = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())
      objects[name] = Stored(bytes(content), next(self.generations), f'{now}.000Z')
      return _resource(bucket, name, objects[name])

  def delete(self, bucket, name, query):
    """Deletes an object, under preconditions."""
    with self.lock:
      objects = self.objects(bucket)
      if name not in objects:
        raise Refused(404, 'No such object')
      _check(objects[name], query)
      del objects[name]

  def listing(self, bucket, query):
    """A page of names, all at once."""
    objects, prefix = self.objects(bucket), query.get('prefix', '')
    items, prefixes, mark = [], set(), query.get('delimiter')
    with self.lock:
      found = sorted(objects.items())
    for name, stored in found:
      if not name.startswith(prefix) or not query.get('startOffset', '') <= name:
        continue
      if 'endOffset' in query and name >= query['endOffset']:
        continue
      rest = name[len(prefix):]
      if mark and mark in rest:
        prefixes.add(prefix + rest.split(mark)[0] + mark)
      else:
        items.append(_resource(bucket, name, stored))
    most = int(query.get('maxResults', 10**9))
    return {'kind': 'storage#objects', 'items': items[:most], 'prefixes': sorted(prefixes)}


def _check(stored, query):
  """Raises Refused where a precondition does not hold."""
  generation = 0 if stored is None else stored.generation
  if int(query.get('ifGenerationMatch', generation)) != generation:
    raise Refused(412, 'At least one of the pre-conditions you specified did not hold.')
  if 'ifGenerationNotMatch' in query and int(query['ifGenerationNotMatch']) == generation:
    raise Refused(304, '')


def _resource(bucket, name, stored):
  digest = base64.b64encode(hashlib.md5(stored.content).digest()).decode()
  return {
    'kind': 'storage#object', 'bucket': bucket, 'name': name, 'size': str(len(stored.content)),
    'generation': str(stored.generation), 'metageneration': '1', 'md5Hash': digest,
    'updated': stored.updated, 'timeCreated': stored.updated, 'storageClass': 'STANDARD',
  }


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  disable_nagle_algorithm = True

  def log_message(self, *words):
    """Says nothing."""

  def _serve(self):
    size = int(self.headers.get('Content-Length', 0))
    body = self._chunks() if self.headers.get('Transfer-Encoding') else self.rfile.read(size)
    self.server.counts[self.command] = self.server.counts.get(self.command, 0) + 1
    try:
      self._answer(*self._act(self.command, self.path, body))
    except Refused as refusal:
      error = {'error': {'code': refusal.code, 'message': refusal.text}}
      self._answer(refusal.code, error if refusal.code != 304 else b'')

  do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

  def _chunks(self):
    content = b''
    while size := int(self.rfile.readline(), 16):
      content += self.rfile.read(size)
      self.rfile.readline()
    self.rfile.readline()
    return content

  def _answer(self, code, content=b'', headers=None):
    if isinstance(content, dict):
      headers = {'Content-Type': 'application/json', **(headers or {})}
      content = json.dumps(content).encode()
    self.send_response(code)
    for name, value in (headers or {}).items():
      self.send_header(name, value)
    if code not in (204, 304):
      self.send_header('Content-Length', str(len(content)))
    self.end_headers()
    if code not in (204, 304):
      self.wfile.write(content)

  def _act(self, method, target, body):
    """(code, content, headers) of a request."""
    url = urllib.parse.urlsplit(target)
    query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
    parts = [urllib.parse.unquote(part) for part in url.path.split('/')]
    if url.path.startswith('/batch/'):
      return self._batch(body)
    if url.path.startswith('/upload/'):
      return self._upload(parts[5], query, body)
    bucket, rest = parts[parts.index('b') + 1], parts[parts.index('b') + 2:]
    if not rest:
      self.server.objects(bucket)
      return 200, {'kind': 'storage#bucket', 'name': bucket, 'location': 'US'}
    if len(rest) == 1:
      return 200, self.server.listing(bucket, query)
    name = rest[1]
    if len(rest) > 2:
      return self._copy(bucket, name, rest)
    if method == 'DELETE':
      self.server.delete(bucket, name, query)
      return (204,)
    return self._get(bucket, name, query)

  def _get(self, bucket, name, query):
    objects = self.server.objects(bucket)
    stored = objects.get(name)
    if stored is None:
      raise Refused(404, f'No such object: {bucket}/{name}')
    _check(stored, query)
    if query.get('alt') != 'media':
      return 200, _resource(bucket, name, stored)
    headers = {
      'X-Goog-Generation': str(stored.generation), 'ETag': f'"{stored.generation}"',
      'Content-Type': 'application/octet-stream',
    }
    asked, size = self.headers.get('Range'), len(stored.content)
    if not asked:
      return 200, stored.content, headers
    start, stop = re.fullmatch(r'bytes=(\d*)-(\d*)', asked).groups()
    first = int(start) if start else max(size - int(stop), 0)
    last = min(int(stop), size - 1) if start and stop else size - 1
    if first >= size:
      raise Refused(416, 'The requested range cannot be satisfied.')
    headers['Content-Range'] = f'bytes {first}-{last}/{size}'
    return 206, stored.content[first:last + 1], headers

  def _copy(self, bucket, name, rest):
    """rewriteTo/b/B/o/O, copyTo/b/B/o/O, or moveTo/o/O."""
    verb, target = rest[2], rest[-1]
    with self.server.lock:
      stored = self.server.objects(bucket).get(name)
      if stored is None:
        raise Refused(404, f'No such object: {bucket}/{name}')
      to = bucket if verb == 'moveTo' else rest[4]
      made = self.server.put(to, target, stored.content, {})
      if verb == 'moveTo':
        self.server.delete(bucket, name, {})
    return 200, {'done': True, 'resource': made} if verb == 'rewriteTo' else made

  def _upload(self, bucket, query, body):
    if 'upload_id' in query:
      return self._more(query['upload_id'], body)
    kind = query.get('uploadType')
    if kind == 'media':
      return 200, self.server.put(bucket, query['name'], body, query)
    if kind == 'multipart':
      boundary = re.search(r'boundary="?([^";]+)"?', self.headers['Content-Type'])[1].encode()
      _, about, content, *_ = body.split(b'--' + boundary)
      facts = json.loads(re.split(rb'\r?\n\r?\n', about, maxsplit=1)[1])
      content = re.split(rb'\r?\n\r?\n', content, maxsplit=1)[1]
      content = content.removesuffix(b'\n').removesuffix(b'\r')
      return 200, self.server.put(bucket, facts['name'], content, query)
    name = query.get('name') or json.loads(body or b'{}')['name']
    self.server.objects(bucket)
    number = str(next(self.server.generations))
    self.server.uploads[number] = [bucket, name, query, b'']
    place = f'/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={number}'
    return 200, {}, {'Location': self.server.url + place}

  def _more(self, number, body):
    """A piece of a resumable upload."""
    bucket, name, query, content = self.server.uploads[number]
    content += body
    total = self.headers.get('Content-Range', '').split('/')[-1]
    if total.isdecimal() and len(content) < int(total) or total == '*':
      self.server.uploads[number][3] = content
      return 308, b'', {'Range': f'bytes=0-{len(content) - 1}'}
    del self.server.uploads[number]
    return 200, self.server.put(bucket, name, content, query)

  def _batch(self, body):
    """Several requests in one, each answered by itself."""
    answers = ''
    for method, target in re.findall(r'^(DELETE|GET) (\S+) HTTP', body.decode(), re.M):
      try:
        code, text = self._act(method, target, b'')[0], ''
      except Refused as refusal:
        code, text = refusal.code, json.dumps({'error': {'message': refusal.text}})
      answers += f'--{_BOUNDARY}\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {code} -\r\n'
      answers += f'\r\n{text}\r\n'
    answers += f'--{_BOUNDARY}--'
    return 200, answers.encode(), {'Content-Type': f'multipart/mixed; boundary={_BOUNDARY}'}


@contextlib.contextmanager
def serving(*names):
  """An Emulator with buckets of these names, on a thread of its own."""
  server = Emulator(names)
  thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05})
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    thread.join()
    server.server_close()
