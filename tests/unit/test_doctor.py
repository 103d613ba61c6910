# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import keyring
from glance_tasks.cmd import doctor
from glance_tasks.imagefile import starter
from tests.support import engines


@pytest.mark.parametrize(
    ("words", "state", "text"),
    [
        (("unshare", "--net", "--"), "ok", "runs without one"),
        ((), "warning", "shares it with us"),
    ],
)
def test_the_doctor_says_whether_qemu_has_a_network(
    tmp_path, monkeypatch, words, state, text
):
    monkeypatch.setattr(starter, "confinement", lambda: words)

    findings = doctor.examine(engines.configuration(tmp_path))

    found = {finding.check: finding for finding in findings}["network"]
    assert found.state == state
    assert text in found.text


def examined(conf):
    """Give the findings by their checks."""
    return {finding.check: finding for finding in doctor.examine(conf)}


def test_the_doctor_makes_no_key_and_says_so(tmp_path):
    found = examined(engines.configuration(tmp_path))["secrets"]

    assert (found.state, found.text) == (
        *("ok", "local: a key is made with the first secret"),
    )
    assert not (tmp_path / "secret-keys").exists()


def test_the_doctor_names_the_key_that_seals(tmp_path):
    conf = engines.configuration(tmp_path)
    keys = [keyring.new_key(), keyring.new_key()]
    lines = [key.line() for key in keys]
    conf.set_override("keys", lines, "glance_tasks_secrets")

    found = examined(conf)["secrets"]

    assert found.text == f"local: {keys[0].id} seals them, 2 in all open them"


def test_the_doctor_warns_of_keys_that_other_hosts_lack(
    tmp_path, synced_database_url
):
    conf = engines.configuration(tmp_path, connection=synced_database_url)

    found = examined(conf)["secrets"]

    embedded = synced_database_url.startswith("sqlite")
    assert found.state == ("ok" if embedded else "warning")
