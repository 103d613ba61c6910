# SPDX-License-Identifier: Apache-2.0
"""The guest content digest against its definition, written down once more."""

import hashlib
import itertools

import hypothesis
from hypothesis import strategies as st
import pytest

from glance_tasks import digest
from glance_tasks import merkle

BLOCK = 64 << 10
ZEROS = bytes(BLOCK)
EMPTY = "3adf20c4a4ab177dc39099e27f2844a1fe0af02da7a0b7f6179cbc6effc7e8f1"


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def top(blocks):
    if len(blocks) == 1:
        return sha(b"\0", blocks[0])
    half = len(blocks) // 2
    return sha(b"\1", top(blocks[:half]), top(blocks[half:]))


def defined(data):
    """Give the digest of a disk by its definition."""
    data = data.rstrip(b"\0")
    data += bytes(-len(data) % BLOCK)
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    count, leaves = len(blocks), 1
    while leaves < count:
        leaves *= 2
    blocks += [ZEROS] * (leaves - count)
    return sha(b"\2", count.to_bytes(8, "big"), top(blocks)).hex()


def of(*pieces):
    tree = merkle.Tree()
    for piece in pieces:
        tree.update(memoryview(piece))
    return tree.hexdigest()


def disk(*blocks):
    """Give a disk of blocks that begin with these letters."""
    return b"".join(b.encode().ljust(BLOCK, b"\0") for b in blocks)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        disk("a"),
        disk("a", "b"),
        disk("a", "", "b"),
        disk("", "", "", "", "a"),
        disk(*"abcdefg"),
        disk("a", *[""] * 30, "b", *[""] * 5),
        disk("a", "b", "c") + b"end",
        disk("a") + bytes(100) + b"x",
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_it_is_what_its_definition_says(data):
    assert of(data) == defined(data)


def test_nothing_and_zeros_are_one_constant():
    assert of() == of(ZEROS) == of(bytes(10 * BLOCK)) == EMPTY


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    letters=st.lists(st.sampled_from(["", "", "a", "b"]), max_size=20),
    tail=st.integers(0, BLOCK - 1),
    cuts=st.lists(st.integers(0, 20 * BLOCK), max_size=6),
)
def test_it_does_not_matter_in_which_pieces_a_disk_comes(letters, tail, cuts):
    data = disk(*letters) + b"y" * tail
    places = sorted({0, len(data), *(c for c in cuts if c < len(data))})

    pieces = [data[a:b] for a, b in itertools.pairwise(places)]

    assert of(*pieces) == defined(data)


@pytest.mark.parametrize("holes", [1, 2, 3, 7, 64, 1000])
def test_skipping_a_hole_is_reading_its_zeros(holes):
    read = of(disk("a"), ZEROS * holes, disk("b"))
    skipped = merkle.Tree()

    skipped.update(memoryview(disk("a")))
    skipped.skip(holes)
    skipped.update(memoryview(disk("b")))

    assert skipped.hexdigest() == read


def test_a_hole_of_an_exbibyte_takes_no_time_and_no_room():
    tree = merkle.Tree()

    tree.skip((1 << 60) // BLOCK)
    tree.update(memoryview(disk("a")))
    tree.skip(5)

    assert len(tree.hexdigest()) == 64
    assert len(tree._tops) == 2


@pytest.mark.parametrize("more", [1, 511, BLOCK, 5 * BLOCK])
def test_zeros_at_the_end_change_nothing(more):
    assert of(disk("a", "b"), bytes(more)) == of(disk("a", "b"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (disk("a", "b"), disk("b", "a")),
        (disk("a"), disk("", "a")),
        (disk("a", "", "b"), disk("a", "b")),
        (disk("a", "b", "c", "d"), disk("a", "b", "c", "e")),
        (disk("a"), disk("a", "a")),
    ],
)
def test_another_disk_has_another_digest(one, other):
    assert of(one) != of(other)


def test_a_disk_made_of_the_hashes_of_another_is_another():
    blocks = disk("a", "b")
    tops = top([blocks[:BLOCK], blocks[BLOCK:]])

    assert of(tops) != of(blocks)
    assert of(b"\1" + tops) != of(blocks)


def test_zeros_are_not_skipped_within_a_block():
    tree = merkle.Tree()
    tree.update(memoryview(b"begun"))

    with pytest.raises(ValueError, match="5 bytes so far"):
        tree.skip(1)


def test_a_copy_goes_on_by_itself():
    tree = merkle.Tree()
    tree.update(memoryview(disk("a") + b"begun"))

    copy = tree.copy()
    copy.update(memoryview(b"x"))

    assert tree.hexdigest() == defined(disk("a") + b"begun")
    assert copy.hexdigest() == defined(disk("a") + b"begunx")


def test_it_is_computed_beside_other_digests():
    data = disk("a", "", "b") + b"end"
    states = digest.fresh_states(["sha512", merkle.NAME])

    with digest.Digests(states) as digests:
        buffer = digests.buffer(lambda: None)
        buffer[: len(data)] = data
        digests.update(buffer[: len(data)])
        found = digests.hexdigests()

    assert found == {
        "sha512": hashlib.sha512(data).hexdigest(),
        "gcd1": defined(data),
    }
    assert merkle.text(found["gcd1"]) == f"gcd1:{defined(data)}"
