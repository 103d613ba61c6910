# SPDX-License-Identifier: Apache-2.0
"""The keys that secrets are sealed with: AES-256-GCM, each key by its name.

The first key seals, every key opens. So a new key is put before the others,
what the old ones sealed is sealed again, and then they can go.
"""

import base64
import binascii
from collections.abc import Iterable
from collections.abc import Sequence
import contextlib
import dataclasses
import logging
import os
import pathlib
import re
import secrets
import stat
import threading

from cryptography import exceptions as crypto_exceptions
from cryptography.hazmat.primitives.ciphers import aead

from glance_tasks import exceptions
from glance_tasks import ledger

LOG = logging.getLogger(__name__)

_KEY_BYTES = 32
# What NIST SP 800-38D recommends. Drawn at random it lets one key seal four
# thousand million secrets.
_NONCE_BYTES = 12

# "@" and the like are left to what the database notes besides.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One key with its name."""

    id: str
    material: bytes = dataclasses.field(repr=False)

    def line(self) -> str:
        """Give it in the form ``ID:BASE64``."""
        return f"{self.id}:{base64.b64encode(self.material).decode()}"


def new_key() -> Key:
    """Make a random key with a random name."""
    return Key(f"key-{secrets.token_hex(4)}", secrets.token_bytes(_KEY_BYTES))


def parse(lines: Iterable[str]) -> list[Key]:
    """Read keys of the form ``ID:BASE64``.

    :raises ConfigurationError: when one is not of that form, without saying
        what it is
    """
    keys: list[Key] = []
    for number, line in enumerate(lines, 1):
        name, _, encoded = line.strip().partition(":")
        try:
            material = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            material = b""
        if len(material) != _KEY_BYTES or not _NAME.fullmatch(name):
            raise exceptions.ConfigurationError(
                f"key {number} is not of the form ID:BASE64 with"
                f" {_KEY_BYTES} bytes; 'glance-tasks secret key' makes one"
            )
        if name in {key.id for key in keys}:
            raise exceptions.ConfigurationError(
                f"two keys are called {name!r}; expected one of each name"
            )
        keys.append(Key(name, material))
    return keys


class Keyring:
    """Seals and opens; safe to share between threads."""

    def __init__(self, keys: Sequence[Key]) -> None:
        """Seal with the first of ``keys``."""
        if not keys:
            raise exceptions.ConfigurationError(
                "there is no key to seal secrets with; expected one or more"
            )
        self.first = keys[0].id
        self._ciphers = {key.id: aead.AESGCM(key.material) for key in keys}

    def seal(self, value: bytes, context: bytes) -> bytes:
        """Encrypt with the first key.

        :param context: what must be the same when it is opened
        :returns: nonce, ciphertext and tag
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ciphers[self.first].encrypt(nonce, value, context)

    def open(self, key_id: str, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what :meth:`seal` gave under the key of that name.

        :raises SecretsUnavailable: when there is no such key here, or it was
            not sealed so
        """
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise exceptions.SecretsUnavailable(
                f"the key {key_id!r} is not here; expected it among the keys"
                " of [glance_tasks_secrets]"
            )
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, rest, context)
        except (crypto_exceptions.InvalidTag, ValueError) as error:
            raise exceptions.SecretsUnavailable(
                f"it was not sealed so by the key {key_id!r}; expected that"
                " key, and the row as it was written"
            ) from error


# --- keys in a file ----------------------------------------------------------


def read_file(path: pathlib.Path) -> list[Key]:
    """Read a file of keys, one a line; none when there is no file.

    :raises ConfigurationError: when others than its owner may read it, or it
        holds anything else
    """
    try:
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            lines = [line for line in file.read().splitlines() if line]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeError) as error:
        raise exceptions.ConfigurationError(
            f"the file of keys, {path}, cannot be read: {type(error).__name__}"
        ) from error
    if mode & 0o077:
        raise exceptions.ConfigurationError(
            f"the file of keys, {path}, has mode {mode:04o}; expected 0600"
        )
    return parse(lines)


def make_file(path: pathlib.Path) -> None:
    """Make a file with one new key, durable when this returns.

    Of several processes that do so at once one makes it, and the others
    leave it as it is.

    :raises OSError: when it cannot be made
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = ledger.create_file(draft)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{new_key().line()}\n")
            file.flush()
            os.fsync(descriptor)
        # A link takes no name that is taken, and the name never stands for
        # a file that is not whole.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    ledger.sync_directory(path.parent)


class KeySource:
    """Where the keys of a service are; safe to share between threads.

    :ivar configured: whether they are of the configuration, not of this host
    """

    def __init__(self, lines: Iterable[str], path: pathlib.Path) -> None:
        """Take the keys of the configuration, or else those of a file.

        :param path: made with the first use of a key, where ``lines`` is empty
        :raises ConfigurationError: when a line cannot be a key
        """
        self._given = parse(lines)
        self.configured = bool(self._given)
        self._path = path
        self._making = threading.Lock()

    def known(self) -> list[Key]:
        """Give the keys there are, the first one first; make none.

        :raises ConfigurationError: when their file cannot be used
        """
        return self._given or read_file(self._path)

    def load(self) -> list[Key]:
        """Give the keys, one at least.

        :raises SecretsUnavailable: when their file cannot be used; what is
            wrong with it is logged
        """
        try:
            with self._making:
                if not (found := self.known()):
                    make_file(self._path)
                    LOG.info("Made a key for secrets in %s", self._path)
                    found = self.known()
            return found
        except (OSError, exceptions.ConfigurationError) as error:
            LOG.error("Secrets cannot be kept: %s", error)
            raise exceptions.SecretsUnavailable(
                "this host's file of keys cannot be used; its log says why"
            ) from error
