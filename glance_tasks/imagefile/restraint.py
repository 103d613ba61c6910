# SPDX-License-Identifier: Apache-2.0
"""What a program that reads an image may use."""

import dataclasses
import math
import resource
from typing import Self

_OPEN_FILES = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    :ivar processor_seconds: of all its threads; counted in whole seconds
    :ivar wall_seconds: from its start to its end
    :ivar memory: bytes of address space; qemu-img 7.2 needs about 2 GiB
    :ivar file_size: bytes of any file it writes
    """

    processor_seconds: float
    wall_seconds: float
    memory: int
    file_size: int

    @classmethod
    def of_disk(cls, virtual_size: int, min_rate: int, memory: int) -> Self:
        """Give the limits for a disk: they grow with its size.

        :param min_rate: bytes per second, after a minute to start in
        """
        seconds = 60 + virtual_size / min_rate
        return cls(
            processor_seconds=seconds,
            wall_seconds=seconds,
            memory=memory,
            file_size=cls.room_of(virtual_size),
        )

    @staticmethod
    def room_of(virtual_size: int) -> int:
        """Give the bytes that a file with such a disk may have.

        Formats add tables and round blocks up: an eighth covers it.
        """
        return virtual_size + virtual_size // 8 + (64 << 20)

    def apply(self, pid: int) -> None:
        """Put the limits on a running process.

        :raises ProcessLookupError: when it has ended
        """
        processor = math.ceil(self.processor_seconds)
        for kind, soft, hard in (
            (resource.RLIMIT_CPU, processor, processor + 1),
            (resource.RLIMIT_AS, self.memory, self.memory),
            (resource.RLIMIT_FSIZE, self.file_size, self.file_size),
            (resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES),
            (resource.RLIMIT_CORE, 0, 0),
        ):
            _, ours = resource.prlimit(pid, kind)
            if ours != resource.RLIM_INFINITY:
                # Only root may raise what a service manager has set.
                soft, hard = min(soft, ours), min(hard, ours)
            resource.prlimit(pid, kind, (soft, hard))
