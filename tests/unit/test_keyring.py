# SPDX-License-Identifier: Apache-2.0
"""Keys seal, and open nothing but what they sealed where they sealed it."""

import concurrent.futures
import stat

import pytest

from glance_tasks import exceptions
from glance_tasks import keyring

VALUE, PLACE = b"the value", b"task/name"


def ring(*keys):
    return keyring.Keyring(keys)


def test_what_is_sealed_opens_again():
    key = keyring.new_key()

    sealed = ring(key).seal(VALUE, PLACE)

    assert VALUE not in sealed
    assert ring(key).open(key.id, sealed, PLACE) == VALUE


def test_the_same_value_is_never_sealed_the_same_way():
    mine = ring(keyring.new_key())

    assert len({mine.seal(VALUE, PLACE) for _ in range(100)}) == 100


def test_the_first_key_seals_and_every_key_opens():
    old, new = keyring.new_key(), keyring.new_key()
    sealed = ring(old).seal(VALUE, PLACE)

    both = ring(new, old)

    assert both.first == new.id
    assert both.open(old.id, sealed, PLACE) == VALUE


@pytest.mark.parametrize("change", ["place", "bit", "cut", "empty", "key"])
def test_nothing_else_opens(change):
    key, other = keyring.new_key(), keyring.new_key()
    sealed, place, name = ring(key).seal(VALUE, PLACE), PLACE, key.id
    if change == "place":
        place = b"other/name"
    elif change == "bit":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    elif change == "cut":
        sealed = sealed[:20]
    elif change == "empty":
        sealed = b""
    else:
        name = other.id

    with pytest.raises(exceptions.SecretsUnavailable, match=name):
        ring(key, other).open(name, sealed, place)


def test_a_key_that_is_not_here_is_named():
    with pytest.raises(exceptions.SecretsUnavailable, match="'gone'"):
        ring(keyring.new_key()).open("gone", b"x" * 40, PLACE)


def test_a_key_reads_as_it_was_written_and_shows_nothing():
    key = keyring.new_key()

    assert keyring.parse([key.line()]) == [key]
    assert key.line().partition(":")[2] not in repr(key)


@pytest.mark.parametrize(
    "line",
    ["", "a", "a:", "a:AAAA", "@a:{}", "a b:{}", ":{}", "a:{}{}", "a:{}\n!"],
)
def test_what_is_no_key_is_refused_and_not_shown(line):
    material = keyring.new_key().line().partition(":")[2]

    with pytest.raises(exceptions.ConfigurationError) as caught:
        keyring.parse([line.replace("{}", material)])

    assert "key 1 is not of the form" in str(caught.value)
    assert material not in str(caught.value)


def test_two_keys_of_one_name_are_refused():
    line = keyring.new_key().line()

    with pytest.raises(exceptions.ConfigurationError, match="two keys"):
        keyring.parse([line, line])


def test_a_file_of_keys_is_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "secret-keys"

    keyring.make_file(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(keyring.read_file(path)) == 1
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_of_many_that_make_the_file_at_once_one_does(tmp_path):
    path = tmp_path / "secret-keys"

    def read(_):
        keyring.make_file(path)
        return tuple(keyring.read_file(path))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        read_by = set(pool.map(read, range(32)))

    assert len(read_by) == 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "secret-keys"
    keyring.make_file(path)
    path.chmod(0o640)

    with pytest.raises(exceptions.ConfigurationError, match="0640"):
        keyring.read_file(path)


def test_no_file_holds_no_keys(tmp_path):
    assert keyring.read_file(tmp_path / "secret-keys") == []
