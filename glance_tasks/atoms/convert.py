# SPDX-License-Identifier: Apache-2.0
"""The step that brings an image into another format."""

from collections.abc import Iterator
import contextlib
import functools
import os
import pathlib
import shutil
from typing import Any
from typing import ClassVar

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks.atoms import artifact as artifacts
from glance_tasks.atoms import inspect as inspect_atom
from glance_tasks.atoms import passes
from glance_tasks.imagefile import content
from glance_tasks.imagefile import disk as disks
from glance_tasks.imagefile import formats
from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import raw
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import view

_NAME = "converted"


def conversion_supported(source: str, target: str) -> bool:
    """Tell whether an image can be brought from one format to the other.

    :param source: Glance's name, or qemu's
    """
    return (
        formats.canonical(source) in formats.DRIVERS
        and formats.canonical(target) in formats.TARGETS
    )


class ConvertImage(plugin.Atom):
    """Write the image into a new file of another format, with its digests.

    To raw it reads the disk once and goes on where an earlier run was cut;
    to other formats qemu-img writes it, and a cut begins it anew. Provides
    ``converted``, of a raw or verified one with its guest content digest.

    Reverting removes the new file.
    """

    behaviour: ClassVar[plugin.Behaviour] = "resumable"
    default_provides = "converted"

    def __init__(
        self,
        ctx: plugin.BuildContext | None = None,
        disk_format: str = "raw",
        *,
        verify: bool = False,
        **kwargs: Any,
    ) -> None:
        """Keep the format to convert to.

        :param disk_format: a key of :data:`formats.TARGETS`
        :param verify: read both images afterwards, to prove that they hold
            the same disk; of a raw one that is known without
        """
        super().__init__(ctx, **kwargs)
        self._target = formats.canonical(disk_format)
        self._verify = verify and self._target != "raw"

    @property
    def _path(self) -> pathlib.Path:
        return self.run.work_dir / _NAME

    def execute(
        self, fetched: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> ports.Artifact:
        """Convert, and look into the result as if it were anybody's.

        :raises ConvertError: when it cannot be read, breaks a limit or holds
            another disk afterwards (``content_differs``)
        :raises UnsafeImage: when the disk inside looks like an image itself
        :raises DiskFull: when there is no room
        """
        if not conversion_supported(inspected["disk_format"], self._target):
            raise exceptions.ConvertError(
                f"an image of format {inspected['disk_format']} cannot be"
                f" converted to {self._target}; expected one of"
                f" {', '.join(formats.TARGETS)}"
            )
        with self._held():
            # Files are removed below; a successor may have made them.
            self.run.fence.check()
            if "spent" in fetched:
                # What gave it is checkpointed by now, so a cut needs the
                # archive no more, and there is room for one file less.
                ledger.remove(self.run.work_dir / fetched["spent"])
            self._require_room(fetched["size"])
            if self._target == "raw":
                digests = self._write_raw(fetched, inspected)
            else:
                digests = self._write_other(fetched, inspected)
            artifact = self._artifact(digests, inspected["virtual_size"])
            if self._verify:
                artifact["content_digest"] = self._same_content(
                    fetched, inspected
                )
            return artifact

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Say that the lease is lost where that is why it failed.

        A successor of a frozen process moves its work directory away, and
        may have files of its own in that place.
        """
        try:
            yield
        except (OSError, exceptions.TaskError):
            self.run.fence.check()
            raise

    def _require_room(self, needed: int) -> None:
        """Refuse to begin what cannot end: sparse disks may need less."""
        there = 0
        with contextlib.suppress(FileNotFoundError):
            there = self._path.stat().st_blocks * 512
        free = shutil.disk_usage(self.run.work_dir).free + there
        if free < needed:
            raise exceptions.DiskFull(
                f"{free} bytes are free for the converted image; expected at"
                f" least the {needed} of the image itself"
            )

    def _limits(self, virtual_size: int) -> restraint.Limits:
        run = self.run.limits
        return restraint.Limits.of_disk(
            virtual_size, run.convert_min_rate, run.convert_memory
        )

    def _write_raw(
        self, fetched: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> dict[str, str]:
        source = {**fetched, "disk_format": inspected["disk_format"]}
        with view.RawView(
            self.run.work_dir / fetched["name"],
            inspected["disk_format"],
            limits=self._limits(inspected["virtual_size"]),
            stop=self.run.stop,
        ) as disk:
            written = raw.write_raw(
                disk,
                self._path,
                source=source,
                stop=self.run.stop,
                progress=self.run.progress,
            )
        return dict(written.digests)

    def _write_other(
        self, fetched: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> dict[str, str]:
        ledger.remove(self._path)
        os.close(ledger.create_file(self._path))
        qemu.convert(
            self.run.work_dir / fetched["name"],
            inspected["disk_format"],
            self._path,
            self._target,
            virtual_size=inspected["virtual_size"],
            limits=self._limits(inspected["virtual_size"]),
            stop=self.run.stop,
            progress=self._pass(0, inspected["virtual_size"]),
        )
        with digest.opened(self._path) as fd:
            os.fsync(fd)
            size = os.fstat(fd).st_size
            states = digest.fresh_states(artifacts.ALWAYS)
            with digest.Digests(states) as digests:
                digest.hash_file(digests, fd, 0, size, self.run.stop.check)
                return digests.hexdigests()

    def _pass(self, number: int, virtual_size: int) -> ports.Progress:
        if not self._verify:
            return self.run.progress
        return passes.Pass(self.run.progress, number, 2, virtual_size)

    def _same_content(
        self, fetched: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> str:
        """Give the digest of the disk that both images hold.

        :raises ConvertError: ``content_differs``, naming the first block
        """
        virtual_size = inspected["virtual_size"]
        source = self.run.work_dir / fetched["name"]
        opened = functools.partial(
            disks.opened,
            limits=self._limits(virtual_size),
            stop=self.run.stop,
        )
        with (
            opened(source, inspected["disk_format"]) as before,
            opened(self._path, self._target) as after,
        ):
            found = content.compare(
                before,
                after,
                stop=self.run.stop,
                progress=self._pass(1, virtual_size),
            )
        if isinstance(found, content.Difference):
            raise exceptions.ConvertError(
                f"block {found.block} of the converted disk, at byte"
                f" {found.offset}, is another; expected that of the"
                f" {inspected['disk_format']} image",
                code="content_differs",
            )
        return found

    def _artifact(
        self, digests: dict[str, str], virtual_size: int
    ) -> ports.Artifact:
        found = self._inspect(virtual_size)
        size = self._path.stat().st_size
        artifact = artifacts.described(_NAME, size, digests)
        artifact["disk_format"] = self._target
        artifact["virtual_size"] = found.virtual_size
        return artifact

    def _inspect(self, virtual_size: int) -> inspect.Inspection:
        """Inspect the output.

        :raises UnsafeImage: when it is no safe image either
        :raises ConvertError: when its disk is not of the source's size
        """
        # qemu counts disks in sectors; one that ends within one is filled up.
        whole = -(-virtual_size // 512) * 512
        try:
            found = inspect.inspect(self._path, self._target, whole)
        except exceptions.UnsafeImage as error:
            raise exceptions.UnsafeImage(
                f"the disk inside the image is not safe to hand on: {error}",
                detail={"code": error.code},
            ) from error
        if found.virtual_size not in (virtual_size, whole):
            raise exceptions.ConvertError(
                f"the converted disk has {found.virtual_size} bytes; expected"
                f" {virtual_size}"
            )
        return found

    def revert(self, **kwargs: Any) -> None:
        """Remove the new file and its ledger."""
        self.run.fence.check()
        ledger.remove(self._path)

    def holds(self, result: Any) -> bool:
        """Tell whether the new file is there in its full size."""
        try:
            return bool(self._path.stat().st_size == result["size"])
        except (OSError, TypeError, KeyError):
            return False
