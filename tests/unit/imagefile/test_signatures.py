# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import exceptions
from glance_tasks.imagefile import inspect
from tests.support.corpus import plain


@pytest.mark.parametrize("what", plain.DISGUISED)
def test_a_disk_may_not_begin_or_end_like_another_format(tmp_path, what):
    data, name = plain.DISGUISED[what]
    (tmp_path / "image").write_bytes(data)

    with pytest.raises(exceptions.UnsafeImage) as caught:
        inspect.inspect(tmp_path / "image", "raw", 1 << 40)

    assert caught.value.code == "format_mismatch"
    assert f"looks like {name};" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        plain.disk_then(b"koly".ljust(1024, b"\0")),
        plain.disk_then(b"conectix".ljust(513, b"\0")),
        b"# a note\nversions of this file\n",
        b"BZ" + bytes(64),
        b"\x1f\x8b" + bytes(64),
    ],
)
def test_what_only_resembles_another_format_is_a_disk(tmp_path, data):
    (tmp_path / "image").write_bytes(data)

    found = inspect.inspect(tmp_path / "image", "raw", 1 << 40)

    assert found.virtual_size == len(data)
