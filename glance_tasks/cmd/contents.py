# SPDX-License-Identifier: Apache-2.0
"""The command that tells what is on a disk, whatever format it is in."""

import argparse
from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import tempfile
import time
from typing import Any
from typing import BinaryIO

from glance_tasks import engine as task_engine
from glance_tasks import opts
from glance_tasks import ports
from glance_tasks.cmd import answers
from glance_tasks.imagefile import borrowing
from glance_tasks.imagefile import content
from glance_tasks.imagefile import disk as disks
from glance_tasks.imagefile import inspect
from glance_tasks.imagefile import restraint


class Unwatched:
    """A stop signal that never comes, and progress that nobody looks at.

    Ctrl-C ends the command, and with it every program it started.
    """

    def check(self) -> None:
        """Go on."""

    def undoing(self) -> contextlib.AbstractContextManager[None]:
        """Change nothing."""
        return contextlib.nullcontext()

    def wait(self, seconds: float) -> None:
        """Wait that long."""
        time.sleep(seconds)

    def bytes(self, done: int, total: int | None) -> None:
        """Show nothing."""

    def advanced(self) -> None:
        """Keep nothing."""


_UNWATCHED = Unwatched()


@dataclasses.dataclass(frozen=True, slots=True)
class _Image:
    """An image to look into; ``format`` is Glance's name, None to be found."""

    path: pathlib.Path
    format: str | None


class ImageContent(answers.ShowAnswer):
    """Tell what is on an image's disk: exit 1 when two disks differ.

    The digest is the same in every format, and zeros at the end of the disk
    do not change it.
    """

    _unlike = False

    def get_parser(self, prog_name: str) -> Any:
        """Take one image, or two."""
        parser = super().get_parser(prog_name)
        what = "a file, or the id of an image"
        parser.add_argument("image", metavar="IMAGE", help=what)
        parser.add_argument(
            "--disk-format",
            metavar="FORMAT",
            help="format of the file (default: what it looks like)",
        )
        parser.add_argument(
            "--compare",
            metavar="OTHER",
            help=f"{what}, to compare it with, block by block",
        )
        parser.add_argument(
            "--compare-format",
            metavar="FORMAT",
            help="format of the other file",
        )
        return parser

    def run(self, parsed_args: Any) -> int:
        """Answer; give 1 when the disks are not the same."""
        code = super().run(parsed_args)
        return code or int(self._unlike)

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Give format, size and digest, or the first block that differs."""
        given = parsed_args
        with contextlib.ExitStack() as stack:
            image = stack.enter_context(self._found(given.image))
            found, disk = stack.enter_context(
                self._opened(image, given.disk_format)
            )
            if given.compare is None:
                told = self._digest(disk)
            else:
                other = stack.enter_context(self._found(given.compare))
                _, another = stack.enter_context(
                    self._opened(other, given.compare_format)
                )
                told = self._compared(disk, another)
        known = {
            "disk_format": found.format,
            "virtual_size": found.virtual_size,
        }
        return answers.columns({**known, **told}, given.formatter)

    def _digest(self, disk: disks.Disk) -> dict[str, Any]:
        digest = content.digest_of(disk, stop=_UNWATCHED, progress=_UNWATCHED)
        return {"content_digest": digest}

    def _compared(self, one: disks.Disk, other: disks.Disk) -> dict[str, Any]:
        found = content.compare(
            one, other, stop=_UNWATCHED, progress=_UNWATCHED
        )
        if isinstance(found, str):
            return {"same": True, "content_digest": found}
        self._unlike = True
        return {
            "same": False,
            "differs_in_block": found.block,
            "differs_at_byte": found.offset,
        }

    @contextlib.contextmanager
    def _found(self, name: str) -> Iterator[_Image]:
        """Give the file of that name, or that of the image of that id.

        :raises ImageNotFound: when there is neither
        """
        if pathlib.Path(name).is_file():
            yield _Image(pathlib.Path(name).absolute(), None)
            return
        engine = self.engine()
        image = engine.catalogue.get(name)
        room = opts.work_dir(self.app.conf)
        room.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=room, prefix="content-") as made:
            path = pathlib.Path(made) / "image"
            with _store(engine, image).open(image.location) as source:
                _bring(source, path, image.size)
            yield _Image(path, image.disk_format)

    @contextlib.contextmanager
    def _opened(
        self, image: _Image, declared: str | None
    ) -> Iterator[tuple[inspect.Inspection, disks.Disk]]:
        """Inspect an image, then open its disk.

        :raises UnsafeImage: when it is not safe to be opened
        """
        group = self.app.conf.glance_tasks_convert
        wanted = declared or image.format or inspect.recognised(image.path)
        found = inspect.inspect(image.path, wanted, group.max_virtual_size)
        with disks.opened(
            image.path,
            found.format,
            limits=restraint.Limits.of_disk(
                found.virtual_size, group.min_rate, group.memory
            ),
            stop=_UNWATCHED,
        ) as disk:
            yield found, disk


def _store(
    engine: task_engine.TaskEngine, image: ports.Image
) -> ports.ImageStore:
    """Give the store that ``image.location`` is in."""
    names = [o.store for o in image.locations if o.key == image.location]
    return engine.stores.get(next(iter(names), ""), engine.store)


def _bring(source: BinaryIO, path: pathlib.Path, size: int) -> None:
    if not borrowing.link(source, path):
        borrowing.copy(
            source, path, size=size, stop=_UNWATCHED, progress=_UNWATCHED
        )
