# SPDX-License-Identifier: Apache-2.0
import pytest

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
