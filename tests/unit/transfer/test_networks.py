# SPDX-License-Identifier: Apache-2.0
import ipaddress

import pytest

from glance_tasks.transfer import networks

PUBLIC = [
    "8.8.8.8",
    "192.1.2.3",
    "172.15.255.255",
    "100.63.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::8.8.8.8",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:808:808::1",
    "2002:7f00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
]


def permitted(text, *allowed):
    return networks.permitted(
        ipaddress.ip_address(text), map(ipaddress.ip_network, allowed)
    )


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_permitted(text):
    assert permitted(text)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_any_other_address_is_refused(text):
    assert not permitted(text)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("10.1.2.3", "10.1.0.0/16"),
        ("::1", "::1/128"),
        ("fd12::1", "fd00::/8"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
    ],
)
def test_an_address_in_an_allowed_network_is_permitted(text, network):
    assert permitted(text, network)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.2.0.1", "10.1.0.0/16"),
        ("64:ff9b::127.0.0.1", "64:ff9b::/96"),
        ("2002:7f00:1::1", "2002::/16"),
        ("::127.0.0.1", "::/96"),
        ("::ffff:127.0.0.1", "::ffff:0:0/96"),
        # Teredo: its client is 127.0.0.1.
        ("2001:0:808:808::80ff:fffe", "2001::/32"),
    ],
)
def test_an_allowed_network_does_not_allow_what_its_addresses_hide(
    text, network
):
    assert not permitted(text, network)


def test_an_address_is_permitted_when_all_it_hides_is_allowed():
    assert permitted("64:ff9b::10.1.2.3", "10.0.0.0/8")
    assert permitted("2002:7f00:1::1", "2002::/16", "127.0.0.0/8")
