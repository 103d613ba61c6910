# SPDX-License-Identifier: Apache-2.0
"""What the steps that write an image anew have in common."""

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
from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import qemu
from glance_tasks.imagefile import raw
from glance_tasks.imagefile import restraint
from glance_tasks.imagefile import view


class Rewriting(plugin.Atom):
    """Writes the disk in an image into a new file.

    To raw it reads the disk once and goes on where an earlier run was cut;
    to other formats qemu-img writes it, and a cut begins it anew.

    :cvar file_name: of the new file, in the work directory

    Reverting removes the new file.
    """

    behaviour: ClassVar[plugin.Behaviour] = "resumable"
    in_work_dir: ClassVar[bool] = True
    file_name: ClassVar[str]

    @property
    def _path(self) -> pathlib.Path:
        return self.run.work_dir / self.file_name

    def rewritten(
        self,
        fetched: ports.Artifact,
        inspected: inspect_atom.Inspected,
        target: str,
        *,
        verify: bool,
    ) -> ports.Artifact:
        """Write it, and look into the result as if it were anybody's.

        :param target: the format, a key of :data:`formats.TARGETS`
        :param verify: read both images afterwards, to prove that they hold
            the same disk; of a raw one that is known without
        :raises ConvertError: when it cannot be read, breaks a limit or holds
            another disk afterwards (``content_differs``)
        :raises UnsafeImage: when the disk inside looks like an image itself
        :raises DiskFull: when there is no room
        """
        virtual_size = inspected["virtual_size"]
        with self._held():
            # Files are removed below; a successor may have made them.
            self.run.fence.check()
            if "spent" in fetched:
                # What gave it is checkpointed by now, so a cut needs the
                # archive no more, and there is room for one file less.
                ledger.remove(self.run.work_dir / fetched["spent"])
            self._require_room(fetched["size"])
            if target == "raw":
                digests = self._write_raw(fetched, inspected)
                return self._artifact(digests, virtual_size, target)
            writing = checking = self.run.progress
            if verify:
                writing, checking = (
                    passes.Pass(self.run.progress, number, 2, virtual_size)
                    for number in range(2)
                )
            digests = self._write_other(fetched, inspected, target, writing)
            artifact = self._artifact(digests, virtual_size, target)
            if verify:
                artifact["content_digest"] = self._same_content(
                    fetched, inspected, target, checking
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
        except exceptions.ConfigurationError as error:
            raise exceptions.ConvertError(
                "a program that converts images is not installed here",
                retryable=True,
                advice="Tell the operator the id of this task",
                # Paths are the operator's.
                detail={"cause": str(error)},
            ) from error

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
        self,
        fetched: ports.Artifact,
        inspected: inspect_atom.Inspected,
        target: str,
        progress: ports.Progress,
    ) -> dict[str, str]:
        ledger.remove(self._path)
        os.close(ledger.create_file(self._path))
        qemu.convert(
            self.run.work_dir / fetched["name"],
            inspected["disk_format"],
            self._path,
            target,
            virtual_size=inspected["virtual_size"],
            limits=self._limits(inspected["virtual_size"]),
            stop=self.run.stop,
            progress=progress,
        )
        with digest.opened(self._path) as fd:
            os.fsync(fd)
            size = os.fstat(fd).st_size
            states = digest.fresh_states(artifacts.ALWAYS)
            with digest.Digests(states) as digests:
                digest.hash_file(digests, fd, 0, size, self.run.stop.check)
                return digests.hexdigests()

    def _same_content(
        self,
        fetched: ports.Artifact,
        inspected: inspect_atom.Inspected,
        target: str,
        progress: ports.Progress,
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
            opened(self._path, target) as after,
        ):
            found = content.compare(
                before,
                after,
                stop=self.run.stop,
                progress=progress,
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
        self, digests: dict[str, str], virtual_size: int, target: str
    ) -> ports.Artifact:
        found = self._inspect(virtual_size, target)
        size = self._path.stat().st_size
        artifact = artifacts.described(self.file_name, size, digests)
        artifact["disk_format"] = target
        artifact["virtual_size"] = found.virtual_size
        return artifact

    def _inspect(self, virtual_size: int, target: str) -> inspect.Inspection:
        """Inspect the output.

        :raises UnsafeImage: when it is no safe image either
        :raises ConvertError: when its disk is not of the source's size
        """
        # qemu counts disks in sectors; one that ends within one is filled up.
        whole = -(-virtual_size // 512) * 512
        try:
            found = inspect.inspect(self._path, target, whole)
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
        """Tell whether the file is there in its full size."""
        try:
            size = (self.run.work_dir / result["name"]).stat().st_size
            return bool(size == result["size"])
        except (OSError, TypeError, KeyError):
            return False
