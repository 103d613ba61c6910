# SPDX-License-Identifier: Apache-2.0
"""Addresses of what a task offers: whoever has one may read that one thing.

An address is good while its task is a success that has not expired, and while
the key that signed it is there.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf import hkdf

from glance_tasks import exceptions
from glance_tasks import keyring

# Apart from what seals secrets with the same keys.
_PURPOSE = b"glance-tasks temporary URL"


class TempUrls:
    """Signs and checks; safe to share between threads."""

    def __init__(self, endpoint: str, source: keyring.KeySource) -> None:
        """Sign with the first key of ``source``, take those of all.

        :param endpoint: what the addresses begin with
        :raises ConfigurationError: when that is no http or https address
        """
        if not endpoint.startswith(("http://", "https://")):
            raise exceptions.ConfigurationError(
                f"public_endpoint is {endpoint!r}; expected such as"
                " https://images.example"
            )
        self._endpoint, self._source = endpoint.rstrip("/"), source

    def address(self, task_id: str) -> str:
        """Give the address of what a task offers.

        :raises SecretsUnavailable: when there is no key to sign with
        """
        signature = _sign(self._source.load()[0], task_id)
        return f"{self._endpoint}/v2/exports/{task_id}?signature={signature}"

    def fits(self, task_id: str, signature: str) -> bool:
        """Tell whether the signature is that of the task's address.

        It takes as long whether it fits or not.

        :raises SecretsUnavailable: when there is no key to check with
        """
        given = signature.encode(errors="replace")
        found = [
            hmac.compare_digest(_sign(key, task_id).encode(), given)
            for key in self._source.load()
        ]
        return any(found)


def _sign(key: keyring.Key, task_id: str) -> str:
    derived = hkdf.HKDF(hashes.SHA256(), 32, None, _PURPOSE)
    text = f"GET /v2/exports/{task_id}"
    return hmac.new(
        derived.derive(key.material), text.encode(), hashlib.sha256
    ).hexdigest()
