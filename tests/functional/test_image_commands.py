# SPDX-License-Identifier: Apache-2.0
"""Images by the command: hidden ones, and one that is had back."""

import glance_tasks as gt
from glance_tasks import testing
from tests.support import installation
from tests.support import placed


def test_an_image_whose_deletion_is_pending_is_hidden_and_had_back(tmp_path):
    here = installation.Installation(tmp_path)
    with testing.EngineFixture(home=here.data_dir) as kit:
        image = placed.image(kit)
        given = {"image_id": image.id, "delay": 3600}
        task = kit.engine.submit("delete", given)
        gt.Conductor(kit.engine, max_tasks=1).run_one(task.id)

    listed = here.ask("image", "list")
    hidden = here.ask("image", "list", "--hidden")
    shown = here.ask("image", "show", image.id)
    back = here.ask("image", "undelete", image.id)
    again = here.run("image", "undelete", image.id)

    assert listed == []
    assert [row["status"] for row in hidden] == ["pending_delete"]
    assert shown["locations"][0]["status"] == "pending_delete"
    assert back["status"] == "active"
    assert again.code == 1
    assert "no deletion of this image is pending" in again.err
