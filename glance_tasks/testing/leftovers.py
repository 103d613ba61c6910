# SPDX-License-Identifier: Apache-2.0
"""What tasks that have ended left behind, of all they should have removed."""

from collections.abc import Iterator
import pathlib

import sqlalchemy as sa

from glance_tasks import engine as task_engine
from glance_tasks import locations
from glance_tasks import opts
from glance_tasks import ports
from glance_tasks import task
from glance_tasks.persistence import models
from glance_tasks.testing import kept

_PAGE = 1000
_BEGUN = frozenset(
    {
        locations.LocationStatus.PENDING,
        locations.LocationStatus.UPLOADING,
    }
)
_TABLES = (models.JOBS, models.LOCKS, models.SECRETS)


def find_leftovers(engine: task_engine.TaskEngine) -> list[str]:
    """Name everything that no task, image or operator can account for.

    To be asked when no task runs: one that has not ended is named by its row
    in ``gt_jobs``. Looked at are

    - the work directory and that of what was handed in, of which nothing may
      be there any more,
    - the staging cache: what a retry could not use, or whose ledger says what
      is not so,
    - the store: objects of no image and no task that succeeded, and files of
      the directory store that are no objects,
    - the catalogue: images of tasks that did not succeed, and data that
      somebody began to bring to an image,
    - the rows of jobs, locks and secrets.

    :returns: one line each, sorted; empty when nothing is left
    :raises DatabaseUnreachable: when the database is away
    """
    tasks = list(_tasks(engine))
    images = list(_images(engine.catalogue))
    return sorted(
        [
            *_files(engine),
            *_objects(engine, tasks, images),
            *_records(engine, tasks, images),
            *_rows(engine),
        ]
    )


def _tasks(engine: task_engine.TaskEngine) -> Iterator[task.Task]:
    marker = None
    while page := engine.find(limit=_PAGE, marker=marker):
        yield from page
        marker = page[-1].id


def _images(catalogue: ports.ImageCatalog) -> Iterator[ports.Image]:
    marker = None
    while page := catalogue.find(limit=_PAGE, marker=marker, hidden=True):
        yield from page
        marker = page[-1].id


def _files(engine: task_engine.TaskEngine) -> Iterator[str]:
    for path in _under(engine.area.root):
        # The conductors' own files: one that was killed leaves its there.
        if path.parts[0] not in (".conductors", engine.cache.root.name):
            yield f"work directory: {path}"
    for name, how in kept.left(engine).items():
        if not name.startswith(kept.GOOD):
            yield f"{name}: {how}"
    for path in _under(engine.staging.root):
        yield f"handed in: {path}"


def _under(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in root.rglob("*"):
        if not (path.is_dir() and any(path.iterdir())):
            yield path.relative_to(root)


def _objects(
    engine: task_engine.TaskEngine,
    tasks: list[task.Task],
    images: list[ports.Image],
) -> Iterator[str]:
    made = {t.image_id for t in tasks if _succeeded(t) and t.image_id}
    for name, store in (engine.stores or {"": engine.store}).items():
        # What has no store's name is in the default one, the first.
        first = store is engine.store
        known = made | {
            one.key
            for image in images
            for one in image.locations
            if one.store == name or (first and not one.store)
        }
        keys = set(store.keys())
        shown = f"store {name}".strip()
        for key in keys - known:
            yield f"{shown}: the object {key}, of no image"
        for path in _under(opts.store_dir(engine.conf, name)):
            if str(path) not in keys:
                yield f"{shown}: the file {path}, no object"


def _records(
    engine: task_engine.TaskEngine,
    tasks: list[task.Task],
    images: list[ports.Image],
) -> Iterator[str]:
    for image in images:
        for one in image.locations:
            if one.status in _BEGUN:
                yield (
                    f"catalogue: image {image.id} has data that is"
                    f" {one.status}"
                )
    # A retry keeps the id, so the image may be its.
    made = {t.image_id for t in tasks if _succeeded(t)}
    shown = {image.id for image in images}
    for failed in tasks:
        if _succeeded(failed) or failed.image_id not in shown - made:
            continue
        # One that works on an image has it named in its input.
        if engine.get(failed.id).input.get("image_id") != failed.image_id:
            yield (
                f"catalogue: the image {failed.image_id} of task"
                f" {failed.id}, which did not succeed"
            )


def _succeeded(one: task.Task) -> bool:
    return one.status is task.Status.SUCCESS


def _rows(engine: task_engine.TaskEngine) -> Iterator[str]:
    with engine.database.read() as connection:
        for table in _TABLES:
            query = sa.select(table.c.task_id, sa.func.count()).group_by(
                table.c.task_id
            )
            for task_id, number in connection.execute(query):
                yield f"{table.name}: {number} rows of task {task_id}"
