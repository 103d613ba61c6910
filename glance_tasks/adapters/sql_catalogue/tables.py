# SPDX-License-Identifier: Apache-2.0
"""The catalogue's tables, and images made of their rows.

``gt_locations`` came later: an image without a row there has one location,
that of its own row, in the default store.
"""

import dataclasses
import datetime
import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from glance_tasks import locations
from glance_tasks import ports

ACTIVE, DELETED = "active", "deleted"

# MariaDB's TEXT ends at 64 KiB.
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

METADATA = sa.MetaData()
IMAGES = sa.Table(
    "gt_images",
    METADATA,
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
    **_MYSQL,
)
LOCATIONS = sa.Table(
    "gt_locations",
    METADATA,
    sa.Column("image_id", sa.String(36), primary_key=True),
    # Grows with each write: who read an older one writes nothing.
    sa.Column("version", sa.BigInteger, nullable=False),
    # What follows from the locations, kept so that lists can ask for it.
    sa.Column("image_status", sa.String(16), nullable=False),
    sa.Column("held", _LONG, nullable=False),
    **_MYSQL,
)
MEMBERS = sa.Table(
    "gt_members",
    METADATA,
    sa.Column("image_id", sa.String(36), primary_key=True),
    # As that of the locations.
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("held", _LONG, nullable=False),
    **_MYSQL,
)
#: An image's row with its locations', which may not be there.
JOINED = sa.select(
    IMAGES,
    LOCATIONS.c.image_status,
    LOCATIONS.c.held,
).join_from(
    IMAGES, LOCATIONS, IMAGES.c.id == LOCATIONS.c.image_id, isouter=True
)

#: What an image's row holds that its publisher says.
CONTENT = tuple(
    field.name
    for field in dataclasses.fields(ports.Image)
    if field.name
    not in ("id", "status", "created_at", "updated_at", "locations")
)
#: Of a tombstone.
NOTHING = dict.fromkeys(CONTENT)


def shown(*, hidden: bool) -> sa.ColumnElement[bool]:
    """Give the condition on :data:`JOINED` for images that are shown.

    :param hidden: whether those are too that are not active
    """
    status = LOCATIONS.c.image_status
    fits = status != DELETED if hidden else status == ACTIVE
    return sa.and_(IMAGES.c.status == ACTIVE, sa.or_(status.is_(None), fits))


def content_of(image: ports.Image) -> dict[str, Any]:
    """Give the columns of :data:`CONTENT`."""
    content = {name: getattr(image, name) for name in CONTENT}
    content["tags"] = json.dumps(list(image.tags))
    content["properties"] = json.dumps(dict(image.properties), sort_keys=True)
    return content


def image_of(row: sa.RowMapping) -> ports.Image:
    """Make an image of a row of :data:`JOINED`."""
    content = {name: row[name] for name in CONTENT}
    content["tags"] = tuple(json.loads(row["tags"]))
    content["properties"] = json.loads(row["properties"])
    made = ports.Image(
        id=row["id"],
        status=row["status"],
        created_at=_moment(row["created_at"]),
        updated_at=_moment(row["updated_at"]),
        **content,
    )
    if row["held"] is None:
        return made
    stored = json.loads(row["held"])
    return relocated(
        made, tuple(locations.Location.from_dict(one) for one in stored)
    )


def relocated(image: ports.Image, held: locations.Locations) -> ports.Image:
    """Give the image as it is with these locations."""
    readable = locations.readable(held)
    same = [
        one for one in readable if one.os_hash_value == image.os_hash_value
    ]
    active = same or readable
    return dataclasses.replace(
        image,
        locations=held,
        location=active[0].key if active else image.location,
        status=locations.status_of(held).value,
    )


def held_of(held: locations.Locations) -> dict[str, Any]:
    """Give the columns that say where the data of an image is."""
    return {
        "held": json.dumps([one.to_dict() for one in held]),
        "image_status": locations.status_of(held).value,
    }


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def swap(
    table: sa.Table, image_id: str, version: int | None, **values: Any
) -> sa.Insert | sa.Update:
    """Give the statement that writes where ``version`` is still there.

    :param version: None where nothing was there
    """
    if version is None:
        return sa.insert(table).values(image_id=image_id, version=1, **values)
    return (
        sa.update(table)
        .where(table.c.image_id == image_id)
        .where(table.c.version == version)
        .values(version=version + 1, **values)
    )
