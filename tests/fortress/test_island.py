# SPDX-License-Identifier: Apache-2.0
"""Names that change their mind and addresses in disguise, on a real network.

It is a network of its own, where the address of a cloud's metadata service
and that of a public server are both there to be reached.
"""

import os

import pytest

from tests.support import island


@pytest.fixture(scope="module")
def outcomes():
    """What became of each attack, and who was connected to."""
    if not island.available():
        if os.environ.get("CI"):
            pytest.fail("the kernel gives no namespaces; CI needs them")
        pytest.skip("the kernel gives no namespaces")
    return island.run()


def test_a_public_server_is_reached(outcomes):
    assert outcomes["steady"] == [["public"], {island.PUBLIC: 1}]


def test_one_who_checks_first_and_opens_then_reads_the_secret(outcomes):
    assert outcomes["naive"] == [["SECRET"], {island.METADATA: 1}]


def test_a_name_is_bound_to_the_address_that_was_checked(outcomes):
    fetched, reached = outcomes["rebound"]

    assert fetched == ["public", "source_not_allowed"]
    assert reached == {island.PUBLIC: 1}


def test_a_name_that_moves_inside_while_a_transfer_is_cut_is_refused(outcomes):
    assert outcomes["cut"] == [["source_not_allowed"], {island.PUBLIC: 1}]


@pytest.mark.parametrize(
    "name", ["inside", "one-of-two", "mapped", "nat64", "loopback6"]
)
def test_a_name_with_an_address_inside_is_not_connected_to(outcomes, name):
    assert outcomes[name] == [["source_not_allowed"], {}]


@pytest.mark.parametrize("kind", ["forms", "redirects"])
def test_no_way_to_write_an_address_leads_inside(outcomes, kind):
    fetched, reached = outcomes[kind]

    assert len(fetched) >= 60
    assert set(reached) <= {island.PUBLIC}
    assert set(fetched) <= {
        "source_not_allowed",
        "source_invalid",
        "source_unavailable",
    }
