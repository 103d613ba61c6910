# SPDX-License-Identifier: Apache-2.0
"""A file in the work directory, told of to the atoms that follow."""

from collections.abc import Mapping

from glance_tasks import merkle
from glance_tasks import ports
from glance_tasks.imagefile import formats

#: Digests that every stored image needs: Glance shows both.
ALWAYS = ("md5", "sha512")

#: Those that an artifact has a place for.
SHOWN = frozenset({"md5", "sha256", "sha512", merkle.NAME})


def described(
    name: str, size: int, digests: Mapping[str, str]
) -> ports.Artifact:
    """Make an artifact; digests it has no place for are left out.

    :param name: of the file in the work directory
    :param size: in bytes
    :param digests: algorithm name to lower-case hexadecimal
    """
    artifact = ports.Artifact(name=name, size=size)
    if "md5" in digests:
        artifact["checksum"] = digests["md5"]
    if "sha256" in digests:
        artifact["sha256"] = digests["sha256"]
    if "sha512" in digests:
        artifact["os_hash_algo"] = "sha512"
        artifact["os_hash_value"] = digests["sha512"]
    if merkle.NAME in digests:
        artifact["content_digest"] = merkle.text(digests[merkle.NAME])
    return artifact


def verified(artifact: ports.Artifact) -> bool:
    """Tell whether the file was read and is what the digests say.

    A linked image that is only sent is looked at while it is sent.
    """
    plain = artifact.get("disk_format") in formats.PLAIN
    # Whoever reads the whole of such a file computes that of its disk, too.
    return not plain or "content_digest" in artifact
