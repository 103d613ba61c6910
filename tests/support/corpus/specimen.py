# SPDX-License-Identifier: Apache-2.0
"""One image of the corpus, and what ought to be said of it."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib

#: What writes an image to a path.
Writer = Callable[[pathlib.Path], object]

#: The bytes of an image, or their writer.
Content = bytes | Writer


@dataclasses.dataclass(frozen=True, slots=True)
class Specimen:
    """An image that can be made.

    :ivar declared: the format it is said to have
    :ivar code: the failure code it must be refused with; None for an honest
        image
    """

    name: str
    declared: str
    code: str | None
    content: Content = dataclasses.field(repr=False)

    def write(self, path: pathlib.Path) -> None:
        """Make the image at ``path``."""
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)


def hostile(
    declared: str, entries: Mapping[str, tuple[str, Content]]
) -> list[Specimen]:
    """Give the specimens of one format: name to code and content."""
    return [
        Specimen(f"{declared}: {name}", declared, code, content)
        for name, (code, content) in entries.items()
    ]


def sparse(*pieces: tuple[int, bytes], size: int) -> Writer:
    """Give the writer of a file of ``size`` bytes, holes but for pieces."""

    def write(path: pathlib.Path) -> None:
        with path.open("wb") as file:
            for place, data in pieces:
                file.seek(place)
                file.write(data)
            file.truncate(size)

    return write
