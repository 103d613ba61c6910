# SPDX-License-Identifier: Apache-2.0
"""What became of a conductor: its task says whether it died or is frozen."""

import shutil
import signal

import pytest

from glance_tasks.testing import http_source
from tests.support import engines
from tests.support import importing
from tests.support import installation

MIB = 1 << 20


@pytest.fixture
def stalled():
    """Give the address of a source that stops in the middle."""
    body = importing.noise(MIB)
    with http_source.HttpSource() as server:
        resource = http_source.Resource(body=body, stall_after=MIB // 2)
        yield server, server.put("/disk", resource)


@pytest.mark.parametrize(
    ("hit", "elsewhere", "reason"),
    [
        (signal.SIGKILL, False, "conductor_died"),
        (signal.SIGSTOP, False, "conductor_frozen"),
        (signal.SIGKILL, True, "conductor_lost"),
    ],
)
def test_it_is_told(tmp_path, stalled, hit, elsewhere, reason):
    server, url = stalled
    here = installation.Installation(tmp_path, claim_ttl=1)
    task_id = here.submit(importing.given(url))
    with here.conductor() as process:
        assert server.stalled.wait(60)
        process.send_signal(hit)
        if elsewhere:
            # As another machine sees it.
            process.wait()
            shutil.rmtree(here.data_dir / "work" / ".conductors")

        def seen():
            return here.ask("task", "show", task_id)["stall_reason"]

        engines.until(lambda: seen() is not None, "the verdict")
        assert seen() == reason
        listed = here.ask("task", "list")
        assert [one["id"] for one in listed] == [task_id]
