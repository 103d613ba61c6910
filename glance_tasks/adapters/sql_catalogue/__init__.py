# SPDX-License-Identifier: Apache-2.0
"""The embedded image catalogue: tables in the database of the tasks.

They know nothing of tasks. Every record carries the fence of whoever made it;
what was withdrawn stays as a tombstone with its fence, so that a frozen
predecessor cannot publish it when it thaws. Locations and members carry a
version that every write raises, for many tasks may touch them, whose fences
are no measure of each other.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import json
import threading
import time
from typing import Any

from oslo_config import cfg
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from glance_tasks import exceptions
from glance_tasks import locations
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.adapters.sql_catalogue import tables

#: A page never has more images than this, as in Glance.
MAX_LIMIT = 1000

_ACTIVE, _DELETED = tables.ACTIVE, tables.DELETED
_IMAGES, _LOCATIONS = tables.IMAGES, tables.LOCATIONS
_DATABASE_ERRORS = (db_exc.DBError, sa_exc.SQLAlchemyError)
_DUPLICATE = (db_exc.DBDuplicateEntry, sa_exc.IntegrityError)

_Row = sa.RowMapping
_Values = Mapping[str, Any]


class SqlCatalogue:
    """Images as rows; safe to share between threads and processes.

    A write reads the row and then changes it by one statement that matches
    only what was read: whoever is frozen in between changes nothing after it
    thaws, and holds no lock while it sleeps.
    """

    def __init__(self, conf: cfg.ConfigOpts, engine: sa.Engine) -> None:
        """Use ``engine``; the table is made when it is first needed.

        :param conf: holds nothing for this catalogue; every catalogue is made
            with it
        """
        self._engine = engine
        self._reader = engine.execution_options(read_only=True)
        self._writer = (
            engine
            if engine.dialect.name == "sqlite"
            else engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._made = False
        self._making = threading.Lock()

    # --- writing -------------------------------------------------------------

    def publish(self, image: ports.Image, fence: int) -> None:
        """Make ``image`` visible, as the port says."""
        content = tables.content_of(image)
        while True:
            found, version = self._row(image.id)
            if found is None or _fenced(found, fence)["status"] == _DELETED:
                done = self._place(image, version) and (
                    self._insert(image.id, fence, _ACTIVE, content)
                    if found is None
                    else self._change(found, fence, _ACTIVE, content)
                )
            else:
                _require_same(found, content)
                # Its fence keeps out who would withdraw it with a smaller.
                done = found["fence"] == fence or self._update(
                    found, fence=fence
                )
            if done:
                return

    def withdraw(self, image_id: str, fence: int) -> None:
        """Leave a tombstone in the image's place, as the port says."""
        while True:
            found, _ = self._row(image_id)
            if found is None:
                done = self._insert(image_id, fence, _DELETED, tables.NOTHING)
            else:
                gone = _fenced(found, fence)["status"] == _DELETED
                done = (gone and found["fence"] == fence) or self._change(
                    found, fence, _DELETED, tables.NOTHING
                )
            if done:
                return

    def change_locations(
        self,
        image_id: str,
        change: locations.Change,
        *,
        fence: ports.Fence | None = None,
    ) -> ports.Image:
        """Change where the data of an image is, as the port says."""
        while True:
            found, version = self._row(image_id)
            if found is None or not _is_there(found):
                raise _unknown(image_id)
            changed = tables.relocated(
                tables.image_of(found),
                change(tables.image_of(found).locations),
            )
            if fence is not None:
                # After the read: who takes over from here on raises the
                # version, even when nothing is left to be changed.
                fence.check()
            if self._relocate(image_id, version, changed):
                return changed

    def _relocate(
        self, image_id: str, version: int | None, changed: ports.Image
    ) -> bool:
        """Write locations where ``version`` is still what is there."""
        statement = tables.swap(
            _LOCATIONS, image_id, version, **tables.held_of(changed.locations)
        )
        if changed.status != _DELETED:
            return self._write(statement)
        return self._write(statement, _tombstone(image_id), self._engine)

    def _place(self, image: ports.Image, version: int | None) -> bool:
        """Write the locations of an image that is about to be shown."""
        if version is None and image.is_in_default_store:
            return True
        return self._relocate(image.id, version, image)

    def change_members(
        self,
        image_id: str,
        change: Callable[[ports.Members], ports.Members],
        *,
        fence: ports.Fence | None = None,
    ) -> ports.Members:
        """Change with whom an image is shared, as the port says."""
        while True:
            version, held = self._members(image_id)
            self.get(image_id)
            changed = dict(change(held))
            if fence is not None:
                fence.check()
            text = json.dumps(changed)
            if self._write(
                tables.swap(tables.MEMBERS, image_id, version, held=text)
            ):
                return changed

    def _insert(
        self, image_id: str, fence: int, status: str, content: _Values
    ) -> bool:
        now = time.time()
        statement = sa.insert(_IMAGES).values(
            id=image_id,
            fence=fence,
            status=status,
            created_at=now,
            updated_at=now,
            **content,
        )
        return self._write(statement)

    def _write(
        self,
        statement: sa.Insert | sa.Update,
        then: sa.Update | None = None,
        by: sa.Engine | None = None,
    ) -> bool:
        """Run a statement; tell whether it matched, or was the first.

        :param then: what goes with it, in one transaction of ``by``
        """
        with _in_words("written"):
            try:
                with (by or self._writer).begin() as connection:
                    matched = connection.execute(statement).rowcount
                    if matched and then is not None:
                        connection.execute(then)
            except _DUPLICATE:
                return False
        return bool(matched)

    def _change(
        self, found: _Row, fence: int, status: str, content: _Values
    ) -> bool:
        now = time.time()
        return self._update(
            found,
            fence=fence,
            status=status,
            created_at=now if status == _ACTIVE else found["created_at"],
            updated_at=now,
            **content,
        )

    def _update(self, found: _Row, **values: Any) -> bool:
        statement = (
            sa.update(_IMAGES)
            .where(_IMAGES.c.id == found["id"])
            .where(_IMAGES.c.fence == found["fence"])
            .where(_IMAGES.c.status == found["status"])
            .values(**values)
        )
        return self._write(statement)

    # --- reading -------------------------------------------------------------

    def members(self, image_id: str) -> ports.Members:
        """Give the projects that an image is shared with."""
        return self._members(image_id)[1]

    def _members(self, image_id: str) -> tuple[int | None, ports.Members]:
        self._make_table()
        table = tables.MEMBERS
        query = sa.select(table.c.version, table.c.held).where(
            table.c.image_id == image_id
        )
        with _in_words("read"), self._reader.begin() as connection:
            row = connection.execute(query).first()
        return (row.version, json.loads(row.held)) if row else (None, {})

    def get(self, image_id: str, *, hidden: bool = False) -> ports.Image:
        """Give one image, as the port says."""
        found, _ = self._row(image_id)
        if found is None or not _is_there(found):
            raise _unknown(image_id)
        image = tables.image_of(found)
        if not hidden and image.status != _ACTIVE:
            raise _unknown(image_id)
        return image

    def find(
        self,
        *,
        limit: int = 25,
        marker: str | None = None,
        hidden: bool = False,
    ) -> Sequence[ports.Image]:
        """List images, newest first, those after ``marker``.

        :param limit: at most 1000 are given
        :raises ImageNotFound: when ``marker`` is no image
        :raises CatalogueError: when the catalogue fails
        """
        self._make_table()
        query = tables.JOINED.where(tables.shown(hidden=hidden))
        with _in_words("read"), self._reader.begin() as connection:
            if marker is not None:
                query = query.where(_after(connection, marker, hidden))
            rows = connection.execute(
                query.order_by(
                    _IMAGES.c.created_at.desc(), _IMAGES.c.id.desc()
                ).limit(min(max(limit, 0), MAX_LIMIT))
            ).mappings()
            return [tables.image_of(row) for row in rows]

    def _row(self, image_id: str) -> tuple[_Row | None, int | None]:
        """Give an image's row, and the version of its locations."""
        self._make_table()
        version = sa.select(_LOCATIONS.c.version).where(
            _LOCATIONS.c.image_id == image_id
        )
        row = tables.JOINED.where(_IMAGES.c.id == image_id)
        with _in_words("read"), self._reader.begin() as connection:
            # The version first: what changes after it is found out.
            last = connection.scalar(version)
            return connection.execute(row).mappings().first(), last

    def _make_table(self) -> None:
        with self._making:
            if self._made:
                return
            with _in_words("set up"):
                self._create()
            self._made = True

    def _create(self) -> None:
        """Make the tables that are not there."""
        names = list(tables.METADATA.tables)
        for left in reversed(range(len(names))):
            try:
                with self._engine.begin() as connection:
                    tables.METADATA.create_all(connection)
            except _DATABASE_ERRORS:
                # Another process may have been faster; MariaDB shows its
                # tables one after the other.
                there = sa.inspect(self._reader)
                if not left and not all(map(there.has_table, names)):
                    raise
            else:
                return


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    try:
        yield
    except _DATABASE_ERRORS as error:
        # A driver's text names the server and the user: not for the owner.
        raise exceptions.CatalogueError(
            f"the image catalogue cannot be {what}: its database fails"
            f" ({type(error).__name__})",
            detail={"cause": redaction.redact(str(error))},
        ) from error


def _fenced(found: _Row, fence: int) -> _Row:
    """Give ``found`` back, when ``fence`` may change it."""
    if found["fence"] > fence:
        raise exceptions.LeaseLost(
            f"image {found['id']} was touched by claim {found['fence']};"
            f" this is claim {fence}"
        )
    return found


def _require_same(found: _Row, content: _Values) -> None:
    other = [name for name in tables.CONTENT if found[name] != content[name]]
    if other:
        raise exceptions.CatalogueError(
            f"image {found['id']} exists already with another"
            f" {', '.join(other)}",
            code="image_exists",
        )


def _after(
    connection: sa.Connection, marker: str, hidden: bool
) -> sa.ColumnElement[bool]:
    at = connection.scalar(
        tables.JOINED.with_only_columns(_IMAGES.c.created_at)
        .where(_IMAGES.c.id == marker)
        .where(tables.shown(hidden=hidden))
    )
    if at is None:
        raise _unknown(marker)
    return sa.or_(
        _IMAGES.c.created_at < at,
        sa.and_(_IMAGES.c.created_at == at, _IMAGES.c.id < marker),
    )


def _is_there(found: _Row) -> bool:
    gone = _DELETED in (found["status"], found["image_status"])
    return not gone


def _tombstone(image_id: str) -> sa.Update:
    return (
        sa.update(_IMAGES)
        .where(_IMAGES.c.id == image_id)
        .values(status=_DELETED, updated_at=time.time(), **tables.NOTHING)
    )


def _unknown(image_id: str) -> exceptions.ImageNotFound:
    return exceptions.ImageNotFound(f"there is no image {image_id}")
