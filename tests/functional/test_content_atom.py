# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import exceptions
from glance_tasks.atoms import content
from glance_tasks.testing import contexts
from glance_tasks.testing import doubles
from tests.support import conversions
from tests.support import programs

MIB = 1 << 20


@pytest.mark.parametrize("disk_format", conversions.WORDS)
def test_the_disk_in_any_format_has_one_digest(tmp_path, disk_format):
    fetched, inspected = conversions.prepared(tmp_path, disk_format)
    progress = doubles.RecordingProgress()
    atom = content.DigestContent(contexts.context(tmp_path, progress=progress))

    found = atom.execute(image_file=fetched, inspected=inspected)

    expected = conversions.content_digest(tmp_path / "disk")
    assert found == {"content_digest": expected}
    assert progress.reports[-1] == (8 * MIB, 8 * MIB)
    assert programs.qemus(tmp_path) == []


def test_what_is_known_is_not_read_again(tmp_path):
    atom = content.DigestContent(contexts.context(tmp_path))
    file = {"name": "absent", "size": 1, "content_digest": "gcd1:known"}

    found = atom.execute(
        image_file=file,
        inspected={"disk_format": "raw", "virtual_size": 1},
    )

    assert found == {"content_digest": "gcd1:known"}


@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_a_stop_is_heard(tmp_path, disk_format):
    fetched, inspected = conversions.prepared(tmp_path, disk_format)
    ctx = contexts.context(tmp_path, stop=doubles.StopAfter(4))

    with pytest.raises(exceptions.LeaseLost):
        content.DigestContent(ctx).execute(
            image_file=fetched, inspected=inspected
        )

    assert programs.qemus(tmp_path) == []
