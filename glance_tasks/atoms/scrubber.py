# SPDX-License-Identifier: Apache-2.0
"""The step that has a program of the operator's scrub an image."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import stat
from typing import ClassVar
from typing import NoReturn

from glance_tasks import digest
from glance_tasks import exceptions
from glance_tasks import ledger
from glance_tasks import plugin
from glance_tasks import ports
from glance_tasks import redaction
from glance_tasks.atoms import artifact
from glance_tasks.atoms import inspect as inspect_atom
from glance_tasks.imagefile import borrowing
from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import process
from glance_tasks.imagefile import restraint

_OWN, _NAME = "to-scrub", "cleaned"

#: How errors and the log call it: its path is nobody's business.
_CALLED = "the scrubber"

_MAX_LINE = 200


class RunScrubber(plugin.Atom):
    """Have the operator's program write the image anew, scrubbed.

    Without ``[glance_tasks_scrub] command`` the file stays as it is, and so
    does the artifact. The program runs as ``qemu-img`` does: without a shell,
    with an environment of our own, under limits, without a network. What it
    wrote is inspected as anybody's. Provides ``cleaned``.

    Reverting removes the new file.
    """

    behaviour: ClassVar[plugin.Behaviour] = "idempotent"
    in_work_dir: ClassVar[bool] = True
    default_provides = "cleaned"

    @property
    def _path(self) -> pathlib.Path:
        return self.run.work_dir / _NAME

    def execute(
        self, image_file: ports.Artifact, inspected: inspect_atom.Inspected
    ) -> ports.Artifact:
        """Run it, if there is one.

        :raises ScrubError: ``scrub_failed``, or the limit that it broke
        :raises DiskFull: when there is no room
        """
        if not self.run.scrubbing.command:
            return image_file
        with self._held():
            # Files are removed below; a successor may have made them.
            self.run.fence.check()
            self._remove()
            source = self._own(image_file)
            os.close(ledger.create_file(self._path))
            self._scrub(source, inspected)
            ledger.remove(self.run.work_dir / _OWN)
            self._require_own_file()
            found = self._inspect(inspected["disk_format"])
            cleaned = self._described()
            cleaned["disk_format"] = found.format
            cleaned["virtual_size"] = found.virtual_size
            return cleaned

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

    def _own(self, image_file: ports.Artifact) -> pathlib.Path:
        """Give a file that is nobody else's: the program may write to it."""
        path = self.run.work_dir / image_file["name"]
        if path.stat().st_nlink == 1:
            return path
        own = self.run.work_dir / _OWN
        with path.open("rb") as source:
            borrowing.copy(
                source,
                own,
                size=image_file["size"],
                stop=self.run.stop,
                progress=self.run.progress,
            )
        return own

    def _scrub(
        self, source: pathlib.Path, inspected: inspect_atom.Inspected
    ) -> None:
        places = {
            "{input}": str(source.absolute()),
            "{output}": str(self._path.absolute()),
            "{format}": inspected["disk_format"],
        }
        words = [places.get(word, word) for word in self.run.scrubbing.command]
        try:
            with process.Process(
                words,
                self._limits(inspected["virtual_size"]),
                self.run.stop,
                output=self._path,
                name=_CALLED,
            ) as work:
                work.require_success()
        except exceptions.ConfigurationError as error:
            raise exceptions.ScrubError(
                f"{_CALLED} is not installed here",
                detail={"cause": str(error)},
            ) from error
        except exceptions.ConvertError as error:
            self._fail(error)

    def _limits(self, virtual_size: int) -> restraint.Limits:
        rules = self.run.scrubbing
        return restraint.Limits(
            processor_seconds=rules.command_processor_time,
            wall_seconds=rules.command_timeout,
            memory=rules.command_memory,
            file_size=restraint.Limits.room_of(virtual_size),
        )

    def _fail(self, error: exceptions.ConvertError) -> NoReturn:
        """Raise what became of it, with its own last word."""
        said = str(error.detail.get("stderr", "")).strip()
        last = said.replace(f"{self.run.work_dir}{os.sep}", "")
        last = redaction.clean(last.rpartition("\n")[2].strip(), _MAX_LINE)
        raise exceptions.ScrubError(
            f"{error}: {last}" if last else str(error),
            code=error.code.replace("convert", "scrub"),
            detail=error.detail,
        ) from error

    def _require_own_file(self) -> None:
        """Refuse a link to some other file in the place of the output."""
        with contextlib.suppress(FileNotFoundError):
            about = self._path.lstat()
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
                return
        raise exceptions.ScrubError(
            f"{_CALLED} left no file of its own; expected it to write to the"
            " one that was there"
        )

    def _inspect(self, disk_format: str) -> inspect.Inspection:
        limit = self.run.limits.max_virtual_size
        try:
            return inspect.inspect(self._path, disk_format, limit)
        except exceptions.UnsafeImage as error:
            raise exceptions.ScrubError(
                f"what {_CALLED} wrote is not safe to hand on: {error}",
                detail={"code": error.code},
            ) from error

    def _described(self) -> ports.Artifact:
        with digest.opened(self._path) as fd:
            os.fsync(fd)
            size = os.fstat(fd).st_size
            states = digest.fresh_states(artifact.ALWAYS)
            with digest.Digests(states) as digests:
                digest.hash_file(digests, fd, 0, size, self.run.stop.check)
                found = digests.hexdigests()
        return artifact.described(_NAME, size, found)

    def _remove(self) -> None:
        for name in (_OWN, _NAME):
            ledger.remove(self.run.work_dir / name)

    def holds(self, result: ports.Artifact) -> bool:
        """Tell whether the file is there in its full size."""
        try:
            size = (self.run.work_dir / result["name"]).stat().st_size
            return bool(size == result["size"])
        except (OSError, TypeError, KeyError):
            return False

    def revert(self, **kwargs: object) -> None:
        """Remove the new file."""
        self.run.fence.check()
        self._remove()
