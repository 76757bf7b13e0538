"""The files of a report: a page for people, JSON for programs, and the pictures of both."""

import hashlib
import os

from adiff.judge import section
from adiff.judge.page import page
from adiff.machine import files, storage


def write(folder, html, data, report, sections, facts=()) -> str:
  """Writes FOLDER/`html`, FOLDER/`data` and FOLDER/pictures; returns the path of the page.

  report: what the JSON holds besides `sections`; its 'title' is the page's. facts: section.Fact, in
  small type below it. Raises OSError where the folder is not there or cannot be written.
  """
  storage.make_folder(os.path.join(folder, 'pictures'), parents=False)
  digests = {}  # the JSON says which pictures are its own: a kill may leave others beside it
  for figure in section.figures(sections):
    place = os.path.join(folder, figure.file)
    digest = hashlib.sha256(figure.picture).hexdigest()
    # A report that grows is written many times.
    if not storage.is_file(place) or files.sha256(place) != digest:
      with files.whole(place, 'wb') as file:
        file.write(figure.picture)
    digests[figure.file] = digest
  report = {**report, 'pictures': digests, 'sections': section.as_data(sections)}
  files.write_json(os.path.join(folder, data), section.plain(report))
  path = os.path.join(folder, html)
  with files.whole(path) as file:
    file.write(page.page(report['title'], facts, sections))
  return path
