# SPDX-License-Identifier: Apache-2.0
"""The step that takes a disk image out of the archive it came in."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import pathlib
from typing import Any
from typing import ClassVar

from glance_tasks import context
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.archive import caps
from glance_tasks.archive import kinds
from glance_tasks.archive import unpacking
from glance_tasks.atoms import artifact
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal
from glance_tasks.imagefile import signatures

_NAME = "unpacked"

# Kernels and ramdisks are compressed as they are booted.
_KEPT = frozenset({"aki", "ari"})
# What any bytes can be. An ISO is known by its own mark.
_ANYTHING = formats.PLAIN - _KEPT - {"iso"}


class UnpackImage(plugin.Atom):
    """Write the disk image in an archive into a new file, with its digests.

    A file that is no archive stays as it is, and so does the artifact. The
    state of a decompressor cannot be saved, so a cut begins it anew. Provides
    ``unpacked``.

    :ivar digests: of the new file, by their names in hashlib

    Reverting removes the new file.
    """

    behaviour: ClassVar[plugin.Behaviour] = "idempotent"
    in_work_dir: ClassVar[bool] = True
    default_provides = "unpacked"

    def __init__(
        self,
        ctx: context.BuildContext | None = None,
        *,
        digests: Sequence[str] = artifact.ALWAYS,
        **kwargs: Any,
    ) -> None:
        """Keep which digests the new file's artifact is to have.

        :param digests: names of hashlib. An image that is stored as it comes
            out needs :data:`artifact.ALWAYS`
        """
        super().__init__(ctx, **kwargs)
        self.digests = tuple(digests)

    @property
    def _path(self) -> pathlib.Path:
        return self.run.work_dir / _NAME

    def execute(
        self,
        fetched: ports.Artifact,
        import_from_format: str,
        import_from_archive: str | None = None,
        image_properties: Mapping[str, Any] | None = None,
    ) -> ports.Artifact:
        """Unpack, or hand on what needs no unpacking.

        :param import_from_format: of the disk image inside
        :param import_from_archive: the kind of archive it must be in; None
            unpacks whatever is known by its content
        :param image_properties: with the container format ``ova`` the same
            as the archive ``ova``
        :raises ArchiveError: when it is damaged, breaks a limit, or does not
            hold exactly one disk image
        :raises UnsafeImage: ``format_mismatch``, when it is another archive
            than was declared, or may be none
        :raises DiskFull: when there is no room
        """
        container = (image_properties or {}).get("container_format")
        declared = import_from_archive or (
            "ova" if container == "ova" else None
        )
        with (
            self._held(),
            reader.opened(self.run.work_dir / fetched["name"]) as archive,
        ):
            kind = _kind(archive, import_from_format, declared)
            if kind is None:
                return fetched
            return self._unpack(archive, kind, fetched, import_from_format)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Say that the lease is lost where that is why it failed.

        A successor of a frozen process moves its work directory away.
        """
        try:
            yield
        except (OSError, exceptions.TaskError):
            self.run.fence.check()
            raise

    def _unpack(
        self,
        archive: reader.Reader,
        kind: str,
        fetched: ports.Artifact,
        disk_format: str,
    ) -> ports.Artifact:
        member = kinds.FINDERS[kind](archive)
        # A file is removed and made; a successor may have made one.
        self.run.fence.check()
        unpacked = unpacking.unpack(
            archive,
            member,
            self._path,
            algorithms=self.digests,
            caps=self._caps(disk_format),
            stop=self.run.stop,
            progress=self.run.progress,
        )
        made = artifact.described(_NAME, unpacked.size, unpacked.digests)
        made["spent"] = fetched["name"]
        return made

    def _caps(self, disk_format: str) -> caps.Caps:
        limits = self.run.limits
        most = limits.unpack_max_bytes
        if formats.canonical(disk_format) in formats.PLAIN:
            most = min(most, limits.max_virtual_size)
        return caps.Caps(most, limits.unpack_max_ratio, limits.unpack_memory)

    def holds(self, result: Any) -> bool:
        """Tell whether what was handed on is there in its full size."""
        try:
            path = self.run.work_dir / result["name"]
            return bool(path.lstat().st_size == result["size"])
        except (OSError, TypeError, KeyError):
            return False

    def revert(self, **kwargs: Any) -> None:
        """Remove the new file, whole or half."""
        self.run.fence.check()
        ledger.remove(self._path)


def _kind(
    archive: reader.Reader, disk_format: str, declared: str | None
) -> str | None:
    """Decide what to unpack; None when it is to be inspected as it is."""
    looks = signatures.find(archive)
    found = kinds.among(looks)
    named = " and ".join(sorted(found))
    if declared is not None and found != {declared}:
        raise refusal.mismatch(
            f"the file was declared to be an archive of the kind {declared}"
            f" and looks like {named or 'none'}; expected {declared}"
        )
    if len(found) != 1 or kinds.beside(looks):
        # What looks like several formats is refused by the inspection.
        return None
    kind = found.pop()
    if declared is None and formats.canonical(disk_format) in _KEPT:
        return None
    if declared is None and formats.canonical(disk_format) in _ANYTHING:
        raise refusal.mismatch(
            f"the image was declared {disk_format} and looks like {kind},"
            " which may be the archive it is in or its own bytes; expected"
            f" import_from_archive to say {kind!r}, or bytes of a plain disk"
        )
    return kind
