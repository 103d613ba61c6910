# SPDX-License-Identifier: Apache-2.0
"""What oslo.utils' format inspectors say about a file: a second opinion.

They parse hostile bytes, and some raise what they do not mean to: each is
asked by itself, and one that breaks has only lost its say for the format.
"""

from collections.abc import Iterable
import struct

from oslo_utils.imageutils import format_inspector

from glance_tasks.imagefile import reader
from glance_tasks.imagefile import refusal

# A VHDX may have its metadata behind a block table of 64 MiB.
_FAR_ENOUGH = 256 << 20

_BROKE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    format_inspector.ImageFormatError,
    struct.error,
)


class Opinion:
    """One inspector and what became of it.

    :ivar name: of the format it is for
    """

    def __init__(self, inspector: format_inspector.FileInspector) -> None:
        self.name = str(inspector)
        self._inspector = inspector
        self._fault: Exception | None = None

    @property
    def waits(self) -> bool:
        """Whether it needs to see more, other than the end of the file."""
        # Only streamOptimized VMDKs have a region "footer"; it is never
        # complete before the end of the file.
        return not (
            self._fault
            or self._inspector.complete
            or self._inspector.has_region("footer")
        )

    def take(self, chunk: bytes) -> None:
        """Show it the next bytes."""
        if self._fault is None:
            try:
                self._inspector.eat_chunk(chunk)
            except _BROKE as error:
                self._fault = error

    def matches(self) -> bool:
        """Tell whether it takes the file for its format."""
        try:
            return bool(self._inspector.format_match)
        except _BROKE:
            return False

    def finish(self) -> None:
        """Tell it that the file has ended."""
        self._inspector.finish()

    def require_safe(self) -> None:
        """Make its safety checks.

        :raises UnsafeImage: when one fails or cannot be made
        """
        try:
            self._inspector.safety_check()
        except format_inspector.SafetyCheckFailed as error:
            failed = ", ".join(sorted(error.failures))
            raise refusal.unsafe(
                f"the {self.name} image fails the checks {failed} of"
                " oslo.utils; expected it to pass them all"
            ) from error
        except _BROKE as error:
            raise refusal.malformed(
                f"the {self.name} image's headers cannot be read to their"
                " end; expected them whole"
            ) from error


def ask(image: reader.Reader) -> dict[str, Opinion]:
    """Give the opinions of the inspectors that recognise the file, by name.

    ``gpt`` stands for a partition table of either kind. None recognises a
    raw image.
    """
    opinions = [
        Opinion(inspector())
        for name, inspector in format_inspector.ALL_FORMATS.items()
        if name != "raw"
    ]
    position = 0
    for chunk in image.chunks(_FAR_ENOUGH):
        position += len(chunk)
        _show(opinions, chunk)
        if not any(opinion.waits for opinion in opinions):
            break
    rest = image.size - position
    if rest > 0:
        _show(opinions, image.tail(min(rest, reader.CHUNK_SIZE)))
    for opinion in opinions:
        opinion.finish()
    return {opinion.name: opinion for opinion in opinions if opinion.matches()}


def _show(opinions: Iterable[Opinion], chunk: bytes) -> None:
    for opinion in opinions:
        opinion.take(chunk)
