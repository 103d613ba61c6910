# SPDX-License-Identifier: Apache-2.0
"""No address that is written down leads where the rules do not."""

import contextlib
import ipaddress
import re
import socket
from urllib import parse

import hypothesis
from hypothesis import strategies as st

from glance_tasks import exceptions
from glance_tasks.testing import doubles
from glance_tasks.transfer import fetcher
from glance_tasks.transfer import networks
from glance_tasks.transfer import resolution
from glance_tasks.transfer import rules
from tests.support import fuzzing
from tests.support import outgoing

ALLOWED = "10.1.0.0/16"
RULES = rules.FetchRules(
    ports=(80, 443, 8080), networks=(ALLOWED,), connect_timeout=0.5
)
CANARY = "s3kr1tCANARY"

# The registries of IANA, told anew and in full: what no source may be. Of
# IPv6 only 2000::/3 is given out at all.
NOT_PUBLIC = [
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8"),
        *("169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("::/3", "4000::/2", "8000::/1"),
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]
NAT64 = ipaddress.ip_network("64:ff9b::/96")

fours = st.one_of(
    st.ip_addresses(v=4),
    st.builds(
        lambda network, by: network[by % network.num_addresses],
        st.sampled_from([n for n in NOT_PUBLIC if n.version == 4]),
        st.integers(-1, 300),
    ),
    st.ip_addresses(network=ALLOWED),
)


def inside(prefix, shift):
    """Give the IPv6 addresses in which ``prefix`` holds an IPv4 one."""
    base = int(ipaddress.IPv6Address(prefix))
    return fours.map(lambda f: ipaddress.IPv6Address(base | int(f) << shift))


sixes = st.one_of(
    st.ip_addresses(v=6),
    st.integers(2**125, 2**126 - 1).map(ipaddress.IPv6Address),
    inside("::ffff:0:0", 0),
    inside("::", 0),
    inside("64:ff9b::", 0),
    inside("64:ff9b:1::", 0),
    inside("2002::", 80),
    inside("2001::", 64),
    inside("2607:f8b0::", 0),
)


def allowed(address):
    """Tell, by the tables above, whether packets may be sent there."""
    if address in ipaddress.ip_network(ALLOWED):
        return True
    if address.version == 6:
        low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.ipv4_mapped or address in NAT64:
            return allowed(low)
    return not any(address in network for network in NOT_PUBLIC)


@fuzzing.examples(1000)
@hypothesis.given(st.one_of(fours, sixes))
def test_an_address_is_permitted_by_nobodys_mistake(address):
    permitted = networks.permitted(address, [ipaddress.ip_network(ALLOWED)])

    assert permitted == allowed(address)


# --- addresses as they are written -------------------------------------------


@st.composite
def spellings(draw):
    """Draw one of the ways in which the C library takes an IPv4 address."""
    number = int(draw(fours))
    parts = draw(st.integers(1, 4))
    pieces = []
    for place in range(parts - 1):
        pieces.append(number >> (24 - 8 * place) & 0xFF)
    pieces.append(number & (1 << (8 * (5 - parts))) - 1)
    ways = ["{}", "{:#x}", "0{:o}", "{:#X}", "000{:o}"]
    return ".".join(
        draw(st.sampled_from(ways)).format(piece) for piece in pieces
    )


hosts = st.one_of(
    spellings(),
    sixes.map(lambda six: f"[{six}]"),
    sixes.map(lambda six: f"[{six.exploded}%1]"),
    fours.map(lambda four: f"[::ffff:{four}]"),
    fours.map(str),
    fours.map(lambda four: f"{four}."),
    st.sampled_from(["images.example", "localhost", "a_b.example", "EXAMPLE"]),
    st.text("abc0189.-_%@:[]\\é１。", max_size=12),
)
logins = st.sampled_from(
    ["", f"user:{CANARY}@", f"{CANARY}@", f"a@b:{CANARY}@", f"x:{CANARY}%40@"]
)
ports = st.sampled_from(
    ["", ":", ":80", ":8080", ":22", ":080", ":-1", ":65536", ":\uff180", ":x"]
)
rests = st.one_of(
    st.sampled_from(["", "/", "/a?b=c#d", "?a", "#a", "\\@10.0.0.1/", "/%0d"]),
    st.text(max_size=12).map(lambda text: f"/{text}"),
)
schemes = st.sampled_from(
    [*("http://", "https://", "HTTP://", "hTtps://"), "http:/", "ftp://", ""]
)


@st.composite
def written(draw):
    """Draw the address of a source, or what nearly is one."""
    pieces = (schemes, logins, hosts, ports, rests)
    uri = "".join(draw(piece) for piece in pieces)
    if draw(st.integers(0, 9)):
        return uri
    place = draw(st.integers(0, len(uri)))
    return uri[:place] + draw(st.text(max_size=3)) + uri[place:]


def numeric(host):
    """Give the address that a host is written as; None for a name.

    The C library is asked, as no parser of Python's knows 0x7f.1.
    """
    with contextlib.suppress(OSError, UnicodeError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0])
    return None


@fuzzing.examples(1000)
@hypothesis.given(written())
@hypothesis.example("http://[64:ff9b::7f00:1]/")
@hypothesis.example("http://0x7f.1/")
def test_an_address_is_taken_apart_as_others_do_it_or_refused(uri):
    try:
        target = RULES.target(uri)
    except exceptions.FetchError as error:
        assert error.code == "source_not_allowed"
        assert CANARY not in str(error)
        return

    parts = parse.urlsplit(uri)
    assert target.scheme in ("http", "https")
    assert (target.host, target.scheme) == (parts.hostname, parts.scheme)
    assert target.port in RULES.ports
    assert re.fullmatch(r"/[!-~]*", target.resource)
    found = numeric(target.host)
    assert found is None or allowed(found)


@hypothesis.given(st.one_of(written(), st.text()))
def test_a_preflight_permits_or_refuses_and_does_nothing_else(uri):
    guarded = fetcher.GuardedFetcher(RULES)

    with outgoing.watched() as begun:
        try:
            guarded.preflight(uri)
        except exceptions.FetchError as error:
            assert CANARY not in str(error)

    assert begun == []


# --- connections -------------------------------------------------------------


class Answers:
    """A name service with one answer."""

    def __init__(self, found):
        self._found = found

    def __call__(self, host, port):
        return [str(address) for address in self._found]


@hypothesis.given(written(), st.lists(st.one_of(fours, sixes), max_size=4))
def test_connections_go_to_checked_addresses_or_nowhere(uri, found):
    dialer = resolution.Dialer(RULES, Answers(found))

    with outgoing.watched() as begun:
        try:
            target = RULES.target(uri)
            dialer.connect(target, doubles.NeverStop()).close()
        except exceptions.FetchError as error:
            assert CANARY not in str(error)

    if not all(map(allowed, found)):
        assert begun == []
    assert {port for _, port in begun} <= set(RULES.ports)
    assert {ipaddress.ip_address(host) for host, _ in begun} <= set(found)
