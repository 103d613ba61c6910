# SPDX-License-Identifier: Apache-2.0
"""The embedded image catalogue: one table in the database of the tasks.

The table knows nothing of tasks. Every record carries the fence of whoever
touched it last; what was withdrawn stays as a tombstone with its fence, so
that a frozen predecessor cannot publish it when it thaws.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import datetime
import json
import threading
import time
from typing import Any

from oslo_config import cfg
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects import mysql

from glance_tasks import exceptions
from glance_tasks import ports
from glance_tasks import redaction

#: A page never has more images than this, as in Glance.
MAX_LIMIT = 1000

_ACTIVE, _DELETED = "active", "deleted"
_DATABASE_ERRORS = (db_exc.DBError, sa_exc.SQLAlchemyError)
_DUPLICATE = (db_exc.DBDuplicateEntry, sa_exc.IntegrityError)

# MariaDB's TEXT ends at 64 KiB.
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

_METADATA = sa.MetaData()
_IMAGES = sa.Table(
    "gt_images",
    _METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    # Seconds since 1970, UTC.
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
    # A tombstone has none of what follows.
    sa.Column("owner", sa.String(255)),
    sa.Column("disk_format", sa.String(32)),
    sa.Column("container_format", sa.String(32)),
    sa.Column("size", sa.BigInteger),
    sa.Column("virtual_size", sa.BigInteger),
    sa.Column("checksum", sa.String(255)),
    sa.Column("os_hash_algo", sa.String(64)),
    sa.Column("os_hash_value", sa.String(255)),
    sa.Column("location", _LONG),
    sa.Column("name", sa.String(255)),
    sa.Column("visibility", sa.String(16)),
    sa.Column("min_disk", sa.Integer),
    sa.Column("min_ram", sa.Integer),
    sa.Column("protected", sa.Boolean),
    sa.Column("tags", _LONG),
    sa.Column("properties", _LONG),
    # An index, made with the table in one statement: where a database cannot
    # undo CREATE TABLE, a crash before CREATE INDEX would leave it without.
    sa.UniqueConstraint("status", "created_at", "id", name="gt_images_newest"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)
_CONTENT = tuple(
    field.name
    for field in dataclasses.fields(ports.Image)
    if field.name not in ("id", "status", "created_at", "updated_at")
)
_NOTHING = dict.fromkeys(_CONTENT)

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
        content = _content(image)
        while True:
            found = self._row(image.id)
            if found is None:
                done = self._insert(image.id, fence, _ACTIVE, content)
            elif _fenced(found, fence)["status"] == _DELETED:
                done = self._change(found, fence, _ACTIVE, content)
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
            found = self._row(image_id)
            if found is None:
                done = self._insert(image_id, fence, _DELETED, _NOTHING)
            else:
                gone = _fenced(found, fence)["status"] == _DELETED
                done = (gone and found["fence"] == fence) or self._change(
                    found, fence, _DELETED, _NOTHING
                )
            if done:
                return

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
        with _in_words("written"):
            try:
                with self._writer.begin() as connection:
                    connection.execute(statement)
            except _DUPLICATE:
                return False
        return True

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
        with _in_words("written"), self._writer.begin() as connection:
            return bool(connection.execute(statement).rowcount)

    # --- reading -------------------------------------------------------------

    def get(self, image_id: str) -> ports.Image:
        """Give one image, as the port says."""
        found = self._row(image_id)
        if found is None or found["status"] != _ACTIVE:
            raise _unknown(image_id)
        return _image(found)

    def find(
        self, *, limit: int = 25, marker: str | None = None
    ) -> Sequence[ports.Image]:
        """List images, newest first, those after ``marker``.

        :param limit: at most 1000 are given
        :raises ImageNotFound: when ``marker`` is no image
        :raises CatalogueError: when the catalogue fails
        """
        self._make_table()
        query = sa.select(_IMAGES).where(_IMAGES.c.status == _ACTIVE)
        with _in_words("read"), self._reader.begin() as connection:
            if marker is not None:
                query = query.where(_after(connection, marker))
            rows = connection.execute(
                query.order_by(
                    _IMAGES.c.created_at.desc(), _IMAGES.c.id.desc()
                ).limit(min(max(limit, 0), MAX_LIMIT))
            ).mappings()
            return [_image(row) for row in rows]

    def _row(self, image_id: str) -> _Row | None:
        self._make_table()
        query = sa.select(_IMAGES).where(_IMAGES.c.id == image_id)
        with _in_words("read"), self._reader.begin() as connection:
            return connection.execute(query).mappings().first()

    def _make_table(self) -> None:
        with self._making:
            if self._made:
                return
            with _in_words("set up"):
                try:
                    with self._engine.begin() as connection:
                        _METADATA.create_all(connection)
                except _DATABASE_ERRORS:
                    # Another process may have been faster.
                    if not sa.inspect(self._reader).has_table(_IMAGES.name):
                        raise
            self._made = True


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
    other = [name for name in _CONTENT if found[name] != content[name]]
    if other:
        raise exceptions.CatalogueError(
            f"image {found['id']} exists already with another"
            f" {', '.join(other)}",
            code="image_exists",
        )


def _after(connection: sa.Connection, marker: str) -> sa.ColumnElement[bool]:
    at = connection.scalar(
        sa.select(_IMAGES.c.created_at)
        .where(_IMAGES.c.id == marker)
        .where(_IMAGES.c.status == _ACTIVE)
    )
    if at is None:
        raise _unknown(marker)
    return sa.or_(
        _IMAGES.c.created_at < at,
        sa.and_(_IMAGES.c.created_at == at, _IMAGES.c.id < marker),
    )


def _unknown(image_id: str) -> exceptions.ImageNotFound:
    return exceptions.ImageNotFound(f"there is no image {image_id}")


def _content(image: ports.Image) -> dict[str, Any]:
    content = {name: getattr(image, name) for name in _CONTENT}
    content["tags"] = json.dumps(list(image.tags))
    content["properties"] = json.dumps(dict(image.properties), sort_keys=True)
    return content


def _image(row: _Row) -> ports.Image:
    content = {name: row[name] for name in _CONTENT}
    content["tags"] = tuple(json.loads(row["tags"]))
    content["properties"] = json.loads(row["properties"])
    return ports.Image(
        id=row["id"],
        status=row["status"],
        created_at=_moment(row["created_at"]),
        updated_at=_moment(row["updated_at"]),
        **content,
    )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
