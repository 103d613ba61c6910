# SPDX-License-Identifier: Apache-2.0
"""What may be fetched: schemes, ports, hosts and addresses."""

from collections.abc import Sequence
import dataclasses
import ipaddress
import re
import socket
from urllib import parse

from glance_tasks import exceptions
from glance_tasks import redaction
from glance_tasks.transfer import networks as addresses

#: Of the schemes that are spoken over a connection.
DEFAULT_PORTS = {"http": 80, "https": 443}
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")
# Letters, digits, hyphens and dots are RFC 1123's; the underscore is not, but
# names in the field have it.
_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_][A-Za-z0-9_.-]*")

#: Longest address taken, in characters. Signed ones come to 2,000.
MAX_URI = 8192

#: Smallest chunk, in bytes: an eighth of it is one buffer.
MIN_CHUNK = 64 << 10


def refusal(text: str) -> exceptions.FetchError:
    """Make the error that says an address is not permitted here."""
    return exceptions.FetchError(text, code="source_not_allowed")


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """An http or https address, taken apart once.

    :ivar host: a name or a literal address without brackets
    :ivar resource: path and query as they are asked for
    :ivar userinfo: ``user:password``, still quoted; None when there is none
    """

    uri: str = dataclasses.field(repr=False)
    scheme: str
    host: str
    port: int
    resource: str = dataclasses.field(repr=False)
    userinfo: str | None = dataclasses.field(default=None, repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Those with whom credentials may be shared."""
        return self.scheme, self.host.lower(), self.port


@dataclasses.dataclass(frozen=True, slots=True)
class FetchRules:
    """What may be fetched, and how patiently. The defaults are safe.

    :ivar ports: that may be connected to; empty allows all
    :ivar networks: that may be connected to although they are not public,
        such as ``10.1.0.0/16``
    :ivar file_roots: directories under which ``file`` sources may lie
    :ivar max_bytes: of one file
    :ivar chunk_size: bytes that are asked for again at most after a crash
    :ivar connect_timeout: seconds
    :ivar read_timeout: seconds a source may send nothing
    :ivar min_rate: bytes per second, over a minute; 0 allows any
    :ivar max_rate: bytes per second over the network, of all that is under
        these rules together; 0 allows any
    """

    schemes: tuple[str, ...] = ("http", "https", "file")
    ports: tuple[int, ...] = (80, 443)
    networks: tuple[str, ...] = ()
    file_roots: tuple[str, ...] = ()
    max_bytes: int = 1 << 40
    chunk_size: int = 64 << 20
    connect_timeout: float = 15.0
    read_timeout: float = 60.0
    min_rate: int = 1024
    max_rate: int = 0

    def __post_init__(self) -> None:
        """Check what has no other guard.

        :raises ConfigurationError: when a value cannot work
        """
        self._networks()
        if self.chunk_size < MIN_CHUNK:
            raise exceptions.ConfigurationError(
                f"chunk_size is {self.chunk_size}; expected at least"
                f" {MIN_CHUNK}"
            )

    @property
    def web(self) -> "FetchRules":
        """The same rules for http and https, whatever schemes are allowed.

        For endpoints of other schemes that speak them underneath.
        """
        return dataclasses.replace(self, schemes=tuple(DEFAULT_PORTS))

    def _networks(self) -> list[addresses.Network]:
        try:
            return [ipaddress.ip_network(text) for text in self.networks]
        except ValueError as error:
            raise exceptions.ConfigurationError(
                f"allowed_networks has {error}; expected networks such as"
                " 10.1.0.0/16 or fd00::/8"
            ) from error

    def check_scheme(self, uri: str) -> str:
        """Give the scheme of ``uri``, in lower case.

        :raises FetchError: when it is not permitted, or no address at all
        """
        if len(uri) > MAX_URI:
            raise refusal(
                f"the address has {len(uri)} characters; expected at most"
                f" {MAX_URI}"
            )
        if _UNPRINTABLE.search(uri):
            raise refusal(
                "the address holds blanks or control characters; expected"
                " them as %20 and the like"
            )
        found = _SCHEME.match(uri)
        scheme = found[1].lower() if found else "no scheme"
        if scheme not in self.schemes:
            # Not the address: without a scheme it cannot be told what in it
            # is a password.
            raise refusal(
                f"the address begins with {scheme}; expected one of"
                f" {', '.join(f'{known}://' for known in self.schemes)}"
            )
        return scheme

    def target(self, uri: str) -> Target:
        """Take an http or https address apart and check every part of it.

        Names are not resolved; an address written out, in whatever form, is
        judged.

        :raises FetchError: when a part is malformed or not permitted
        """
        shown, scheme = redaction.plain_uri(uri), self.check_scheme(uri)
        if scheme not in DEFAULT_PORTS:
            raise refusal(f"{shown} is not on the network")
        try:
            parts = parse.urlsplit(uri)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            # Not the address: "http://user:pass#word@host" has the password
            # where the port should be.
            raise refusal(
                "the address has no valid host and port; expected such as"
                " http://images.example:8080/disk"
            ) from error
        port = DEFAULT_PORTS[scheme] if port is None else port
        if self.ports and port not in self.ports:
            known = ", ".join(map(str, self.ports))
            raise refusal(
                f"{shown} has the port {port}; expected one of {known}"
            )
        if "\\" in parts.netloc:
            # Browsers take it for a slash, and see another host than we do.
            raise refusal(
                "the address has a backslash before its path; expected it as"
                " %5C"
            )
        self._check_host(uri, host, bracketed="[" in parts.netloc)
        userinfo, at, _ = parts.netloc.rpartition("@")
        path = parts.path or "/"
        return Target(
            uri=uri,
            scheme=scheme,
            host=host,
            port=port,
            resource=_quoted(f"{path}?{parts.query}" if parts.query else path),
            userinfo=userinfo if at else None,
        )

    def _check_host(self, uri: str, host: str, *, bracketed: bool) -> None:
        if not (bracketed or _NAME.fullmatch(host)):
            # Not the address: without a host what is shown of it may be the
            # password.
            raise refusal(
                "the address has no valid host; expected a name of letters,"
                " digits, hyphens and dots, or a numeric address"
            )
        try:
            # This asks nobody, and knows 2130706433, 0x7f.1 and 0177.1 too.
            found = socket.getaddrinfo(
                host,
                None,
                family=socket.AF_INET6 if bracketed else socket.AF_UNSPEC,
                flags=socket.AI_NUMERICHOST,
            )
        except (OSError, UnicodeError) as error:
            if bracketed:
                raise refusal(
                    "the address has brackets around what is no IPv6 address"
                ) from error
            return
        self.check_addresses(uri, [str(entry[4][0]) for entry in found])

    def check_addresses(self, uri: str, found: Sequence[str]) -> None:
        """Check every address that the host of ``uri`` has.

        :raises FetchError: when one of them is not permitted
        """
        allowed = self._networks()
        for text in found:
            if not addresses.permitted(ipaddress.ip_address(text), allowed):
                # Not which address: that would map our resolver's view.
                raise refusal(
                    f"{redaction.plain_uri(uri)} leads to an address that is"
                    " not a public one"
                )


@dataclasses.dataclass(frozen=True, slots=True)
class SendRules(FetchRules):
    """Where may be sent to, and how. ``chunk_size`` is the parts' size.

    :ivar file_roots: directories under which ``file`` destinations may lie
    :ivar parts_at_once: sent to one destination; each takes ``chunk_size``
        bytes of memory
    """

    parts_at_once: int = 4


def _quoted(resource: str) -> str:
    return parse.quote(resource, safe="!#$%&'()*+,/:;=?@[]~\"<>\\^`{|}")
