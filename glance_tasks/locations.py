# SPDX-License-Identifier: Apache-2.0
"""Where an image's data is: locations, their moves, what follows from them.

The changes here are pure functions from the locations of one image to other
ones; a catalogue applies them with ``change_locations``. :data:`MOVES` and
:data:`STATUSES` are all there is to know of how locations change and what an
image is called that has them.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
import enum
from typing import Any

from glance_tasks import exceptions


class LocationStatus(enum.StrEnum):
    """What there is of the data at one location."""

    PENDING = "pending"
    UPLOADING = "uploading"
    ACTIVE = "active"
    PENDING_DELETE = "pending_delete"
    DELETED = "deleted"
    FAILED = "failed"


class ImageStatus(enum.StrEnum):
    """What an image is called, in Glance's words.

    ``deactivated`` is none of them: it is an operator's decision, and no
    location shows it.
    """

    ACTIVE = "active"
    SAVING = "saving"
    QUEUED = "queued"
    PENDING_DELETE = "pending_delete"
    KILLED = "killed"
    DELETED = "deleted"


_L, _I = LocationStatus, ImageStatus

#: Every permitted change of a location's status, with its cause.
MOVES: tuple[tuple[LocationStatus, LocationStatus, str], ...] = (
    (_L.PENDING, _L.UPLOADING, "bytes move"),
    (_L.PENDING, _L.DELETED, "given up"),
    (_L.UPLOADING, _L.ACTIVE, "whole and verified"),
    (_L.UPLOADING, _L.FAILED, "an error"),
    (_L.UPLOADING, _L.DELETED, "given up"),
    (_L.FAILED, _L.PENDING, "tried again"),
    (_L.FAILED, _L.DELETED, "cleaned up"),
    (_L.ACTIVE, _L.PENDING_DELETE, "delete"),
    (_L.PENDING_DELETE, _L.ACTIVE, "undone"),
    (_L.PENDING_DELETE, _L.DELETED, "scrubbed"),
)

#: An image's status is that of the first of these that any location has.
STATUSES: tuple[tuple[LocationStatus, ImageStatus], ...] = (
    (_L.ACTIVE, _I.ACTIVE),
    (_L.UPLOADING, _I.SAVING),
    (_L.PENDING, _I.QUEUED),
    (_L.PENDING_DELETE, _I.PENDING_DELETE),
    (_L.FAILED, _I.KILLED),
    (_L.DELETED, _I.DELETED),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Location:
    """One copy of an image's data, perhaps in a format of its own.

    Of one whose bytes have not come yet, what is not known is None.

    :ivar key: the data's name in its store; shown to the operator alone
    :ivar store: the store's name; empty for the default one
    :ivar size: in bytes, as ``virtual_size``
    :ivar content_digest: of the disk inside, the same in every format
    :ivar deletes_at: when a pending deletion begins; None once it has, and
        from then on it cannot be undone
    """

    key: str
    store: str = ""
    status: LocationStatus = LocationStatus.ACTIVE
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    content_digest: str | None = None
    deletes_at: datetime.datetime | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Store and key: no two locations of an image have the same."""
        return self.store, self.key

    @property
    def may_be_restored(self) -> bool:
        """Whether a deletion is pending that has not begun."""
        pending = self.status is LocationStatus.PENDING_DELETE
        return pending and self.deletes_at is not None

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON, without what is not known."""
        known = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
        }
        if self.deletes_at is not None:
            known["deletes_at"] = self.deletes_at.timestamp()
        return {k: v for k, v in known.items() if v is not None}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Location":
        """Make it of what :meth:`to_dict` gave, perhaps in a later release."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {k: v for k, v in stored.items() if k in names}
        known["status"] = LocationStatus(known.get("status", _L.ACTIVE))
        if "deletes_at" in known:
            known["deletes_at"] = datetime.datetime.fromtimestamp(
                known["deletes_at"], datetime.UTC
            )
        return cls(**known)


#: What is known of the data itself.
FACTS = frozenset(
    {
        *("disk_format", "container_format", "size", "virtual_size"),
        *("checksum", "os_hash_algo", "os_hash_value", "content_digest"),
    }
)

#: The locations of one image, in the order in which they were added.
Locations = tuple[Location, ...]
Change = Callable[[Locations], Locations]


def status_of(held: Iterable[Location]) -> ImageStatus:
    """Give the status of an image with these locations, in any order."""
    found = {location.status for location in held}
    for location_status, image_status in STATUSES:
        if location_status in found:
            return image_status
    # As in Glance: a record whose data has yet to come.
    return ImageStatus.QUEUED


def readable(
    held: Iterable[Location], disk_formats: Iterable[str] | None = None
) -> Locations:
    """Give the active locations, of these formats where they are named."""
    wanted = None if disk_formats is None else frozenset(disk_formats)
    return tuple(
        one
        for one in held
        if one.status is LocationStatus.ACTIVE
        and (wanted is None or one.disk_format in wanted)
    )


# --- changes -----------------------------------------------------------------


def add(held: Locations, new: Location) -> Locations:
    """Add a location; one that is there in the same state stays as it is.

    :raises CatalogueError: when its place holds another one
    """
    for one in held:
        if one == new:
            return held
        if one.place == new.place:
            raise _conflict(f"is {one.status} already", new)
    return (*held, new)


def move(
    held: Locations,
    place: tuple[str, str],
    status: LocationStatus,
    **facts: Any,
) -> Locations:
    """Give a location another status, and what is known of it by then.

    :param facts: fields of :class:`Location`
    :raises CatalogueError: when it is not there, or may not move so
    """
    found = [one for one in held if one.place == place]
    if not found:
        raise _conflict("is not there", Location(place[1], place[0]))
    old = found[0]
    if old.status != status and not may_move(old.status, status):
        raise _conflict(f"is {old.status}; it cannot become {status}", old)
    if status is not LocationStatus.PENDING_DELETE:
        facts["deletes_at"] = None
    new = dataclasses.replace(old, status=status, **facts)
    return tuple(new if one is old else one for one in held)


def drop(held: Locations, place: tuple[str, str]) -> Locations:
    """Leave a location out, if it is there, whatever its status."""
    return tuple(one for one in held if one.place != place)


def mark(
    held: Locations,
    at: datetime.datetime,
    places: Iterable[tuple[str, str]] | None = None,
) -> Locations:
    """Have active locations be deleted at that time, where none is pending.

    :param places: which; all when None
    """
    chosen = None if places is None else set(places)
    return tuple(
        dataclasses.replace(
            one, status=LocationStatus.PENDING_DELETE, deletes_at=at
        )
        if one.status is LocationStatus.ACTIVE
        and (chosen is None or one.place in chosen)
        else one
        for one in held
    )


def begin_deletion(held: Locations, place: tuple[str, str]) -> Locations:
    """Note that the data of a location goes now: the point of no return.

    :raises CatalogueError: when its deletion was undone
    """
    for one in held:
        if one.place == place and one.status is LocationStatus.ACTIVE:
            raise exceptions.CatalogueError(
                "the deletion was undone before it began",
                code="deletion_undone",
            )
    return tuple(
        dataclasses.replace(one, deletes_at=None)
        if one.place == place
        else one
        for one in held
    )


def undelete(held: Locations) -> Locations:
    """Do as :func:`restore` does, where there is something to be undone.

    :raises CatalogueError: where there is not
    """
    restored = restore(held)
    if restored == held:
        raise exceptions.CatalogueError(
            "no deletion of this image is pending that has not begun",
            code="location_conflict",
        )
    return restored


def restore(held: Locations) -> Locations:
    """Undo every pending deletion that has not begun."""
    return tuple(
        dataclasses.replace(one, status=LocationStatus.ACTIVE, deletes_at=None)
        if one.may_be_restored
        else one
        for one in held
    )


def may_move(source: LocationStatus, target: LocationStatus) -> bool:
    """Tell whether a location's status may change so."""
    return any(move[:2] == (source, target) for move in MOVES)


def _conflict(what: str, location: Location) -> exceptions.CatalogueError:
    store = location.store or "the default store"
    return exceptions.CatalogueError(
        f"the image's data in {store} {what}", code="location_conflict"
    )


# --- drawings ----------------------------------------------------------------


def draw_moves() -> str:
    """Draw the moves of a location as Mermaid text, one a line."""
    lines = ["stateDiagram-v2", f"    [*] --> {_L.PENDING}"]
    lines += [f"    {a} --> {b}: {cause}" for a, b, cause in MOVES]
    return "\n".join([*lines, f"    {_L.DELETED} --> [*]"])
