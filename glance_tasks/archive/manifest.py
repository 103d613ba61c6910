# SPDX-License-Identifier: Apache-2.0
"""The manifest of an OVA: the digests of its files."""

from collections.abc import Mapping
import hashlib
import re

from glance_tasks.archive import refusal

# SHA-1 proves nothing against an enemy, but still finds what was damaged.
_LINE = re.compile(r"(SHA1|SHA256|SHA512)\s?\(([^()]+)\)\s?= ?([0-9a-fA-F]+)")

#: Names of files to pairs of algorithm, by its name in hashlib, and digest.
Digests = Mapping[str, tuple[str, str]]


def parse(text: bytes) -> Digests:
    """Read a manifest.

    :raises ArchiveError: when it is none
    """
    found: dict[str, tuple[str, str]] = {}
    for raw in text.splitlines():
        line = raw.decode("utf-8", "replace").strip()
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise refusal.malformed(
                f"the ova archive's manifest holds the line {line[:80]!r};"
                " expected SHA1, SHA256 or SHA512, a name and a digest, each"
                " name once"
            )
        found[match[2]] = match[1].lower(), match[3].lower()
    return found


def require(digests: Digests, name: str, text: bytes) -> None:
    """Compare a file's content with what a manifest says of it.

    :raises ArchiveError: ``archive_malformed``
    """
    algorithm, told = expected(digests, name)
    found = hashlib.new(algorithm, text, usedforsecurity=False).hexdigest()
    require_digest(name, algorithm, found, told)


def expected(digests: Digests, name: str) -> tuple[str, str]:
    """Give what a manifest says of one file.

    :raises ArchiveError: ``archive_malformed``, when it says nothing
    """
    if name not in digests:
        raise refusal.malformed(
            f"the ova archive's manifest says nothing of {name[:80]!r};"
            " expected its digest"
        )
    return digests[name]


def require_digest(name: str, algorithm: str, found: str, told: str) -> None:
    """Compare two digests.

    :raises ArchiveError: ``archive_malformed``, when they differ
    """
    if found != told:
        raise refusal.malformed(
            f"{name[:80]!r} in the ova archive has the {algorithm} {found};"
            f" expected the {told[:128]} of its manifest"
        )
