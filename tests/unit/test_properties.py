# SPDX-License-Identifier: Apache-2.0
"""Which properties leave with an image."""

from oslo_config import cfg
import pytest

from glance_tasks import context
from glance_tasks import opts
from glance_tasks.atoms import properties
from glance_tasks.atoms import scrub
from glance_tasks.testing import contexts

GIVEN = {
    "name": "disk",
    "os_distro": "debian",
    "hw_disk_bus": "virtio",
    "instance_uuid": "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b",
    "os_glance_importing_to_stores": "fast",
    "img_signature": "c2lnbmVk",
    "tags": ["a"],
}


@pytest.mark.parametrize(
    ("keep", "remove", "left"),
    [
        (["*"], [], {*GIVEN}),
        ([], [], set()),
        (["os_*"], [], {"os_distro", "os_glance_importing_to_stores"}),
        (["os_*"], ["os_glance_*"], {"os_distro"}),
        (["OS_*"], [], set()),
        (["name", "tags"], ["name"], {"tags"}),
        (["n[ab]me"], [], {"name"}),
        (["ame", "nam"], [], set()),
    ],
)
def test_what_fits_leaves_unless_it_is_taken_out(keep, remove, left):
    found = properties.scrubbed(GIVEN, keep, remove)

    assert found == {name: GIVEN[name] for name in left}


@pytest.mark.parametrize(
    ("refused", "name"),
    [
        ([], None),
        (["os_distro=debian"], "os_distro"),
        (["os_distro=deb*"], "os_distro"),
        (["os_*=*"], "os_distro"),
        (["os_distro=Debian"], None),
        (["os_distro="], None),
        (["license=*"], None),
        (["license=*", "hw_disk_bus=virtio"], "hw_disk_bus"),
    ],
)
def test_an_image_may_be_refused_for_a_property(refused, name):
    assert properties.refusing(GIVEN, refused) == name


def test_by_default_nothing_leaves_that_tells_of_this_cloud():
    conf = cfg.ConfigOpts()
    opts.register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    group = conf.glance_tasks_scrub

    found = properties.scrubbed(
        GIVEN, group.keep_properties, group.remove_properties
    )

    assert set(found) == {"name", "os_distro", "hw_disk_bus", "tags"}


def test_the_step_goes_by_the_rules_of_its_run(tmp_path):
    rules = context.Scrubbing(remove_properties=("os_*", "img_*"))
    ctx = contexts.context(tmp_path, scrubbing=rules)

    found = scrub.ScrubProperties(ctx).execute(image_properties=GIVEN)

    assert set(found) == {"name", "hw_disk_bus", "instance_uuid", "tags"}
