# SPDX-License-Identifier: Apache-2.0
"""The guest content digest: of a disk, whatever file the disk is in.

A binary Merkle tree over the disk's blocks of 64 KiB, all with SHA-256:

* a leaf is the hash of a byte 0 and the block; a short last block is filled
  up with zeros;
* a node is the hash of a byte 1 and its two children;
* the digest is the hash of a byte 2, of the number of blocks up to the last
  that is not all zeros (8 bytes, big-endian), and of the top of the smallest
  tree over them with a power of two of leaves; those that are missing are
  blocks of zeros.

So zeros at the end of a disk change nothing: formats round disks up, and it
is the same disk. Its size is a fact of its own, to be compared beside it.
A tree over zeros alone is a constant of its height, so that a hole takes no
time, however large, and a disk of 2^n blocks no more memory than n hashes.
"""

import functools
import hashlib

#: The name of the digest, and of its first version.
NAME = "gcd1"

#: Bytes of a block.
BLOCK = 64 << 10

# A bytearray: only there is comparing with a memoryview a memcmp.
_ZEROS = bytearray(BLOCK)
_LEAF = hashlib.sha256(b"\0")
_NODE, _ROOT = b"\1", b"\2"


def text(hexdigest: str) -> str:
    """Give a digest in the form in which it is shown, ``gcd1:HEX``."""
    return f"{NAME}:{hexdigest}"


def is_zeros(block: memoryview) -> bool:
    """Tell whether a block, or less than one, is nothing but zeros."""
    zeros = _ZEROS if len(block) == BLOCK else _ZEROS[: len(block)]
    return zeros == block


def _leaf(block: memoryview) -> bytes:
    leaf = _LEAF.copy()
    leaf.update(block)
    return leaf.digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


@functools.cache
def _of_zeros(level: int) -> bytes:
    """Give the top of a tree over ``2 ** level`` blocks of zeros."""
    if not level:
        return _leaf(memoryview(_ZEROS))
    below = _of_zeros(level - 1)
    return _node(below, below)


class Tree:
    """A running digest; one of :class:`glance_tasks.digest.State`.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        """Begin with a disk of no bytes."""
        # Tops of whole trees, by level, each higher than the one after it.
        self._tops: list[tuple[int, bytes]] = []
        self._blocks = 0
        # Blocks that are no part of the tree unless data follows.
        self._zeros = 0
        self._rest = bytearray()

    def update(self, data: memoryview, /) -> None:
        """Take more bytes of the disk."""
        if self._rest:
            missing = BLOCK - len(self._rest)
            self._rest += data[:missing]
            data = data[missing:]
            if len(self._rest) < BLOCK:
                return
            self._add(memoryview(self._rest))
            self._rest = bytearray()
        whole = len(data) - len(data) % BLOCK
        for place in range(0, whole, BLOCK):
            self._add(data[place : place + BLOCK])
        self._rest += data[whole:]

    def skip(self, blocks: int) -> None:
        """Take that many blocks of zeros, in no time.

        :raises ValueError: in the midst of a block
        """
        if self._rest:
            raise ValueError(
                f"a block has {len(self._rest)} bytes so far; expected a"
                " whole one before zeros are skipped"
            )
        self._zeros += blocks

    def _add(self, block: memoryview) -> None:
        if is_zeros(block):
            self._zeros += 1
            return
        self._add_zeros()
        self._push(0, _leaf(block))

    def _add_zeros(self) -> None:
        while self._zeros:
            level = self._zeros.bit_length() - 1
            if self._blocks:
                # No tree begins but where its size says.
                aligned = (self._blocks & -self._blocks).bit_length() - 1
                level = min(level, aligned)
            self._push(level, _of_zeros(level))
            self._zeros -= 1 << level

    def _push(self, level: int, top: bytes) -> None:
        self._blocks += 1 << level
        while self._tops and self._tops[-1][0] == level:
            top = _node(self._tops.pop()[1], top)
            level += 1
        self._tops.append((level, top))

    def hexdigest(self) -> str:
        """Give the digest of the disk so far, lower-case hexadecimal."""
        whole = self.copy()
        if whole._rest:
            missing = BLOCK - len(whole._rest)
            whole.update(memoryview(_ZEROS)[:missing])
        count = whole._blocks.to_bytes(8, "big")
        return hashlib.sha256(_ROOT + count + whole._top()).hexdigest()

    def _top(self) -> bytes:
        """Give the top of all, with zeros where a tree is not full."""
        if not self._tops:
            return _of_zeros(0)
        level, top = self._tops[-1]
        for height, left in reversed(self._tops[:-1]):
            while level < height:
                top = _node(top, _of_zeros(level))
                level += 1
            top = _node(left, top)
            level += 1
        return top

    def copy(self) -> "Tree":
        """Give a running digest of its own with the same bytes behind it."""
        other = Tree()
        other._tops = self._tops[:]
        other._blocks, other._zeros = self._blocks, self._zeros
        other._rest = self._rest[:]
        return other
