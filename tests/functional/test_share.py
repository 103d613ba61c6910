# SPDX-License-Identifier: Apache-2.0
"""Sharing with many projects: each is answered for, none is taken on trust."""

import pytest

import glance_tasks as gt
from glance_tasks import testing
from glance_tasks_flows import sharing
from tests.support import placed


class Directory:
    """Knows some projects, and of some that there is none."""

    def __init__(self, known, unknown=()):
        """Say yes to ``known``, no to ``unknown``, nothing to others."""
        self._answers = {
            **dict.fromkeys(known, True),
            **dict.fromkeys(unknown, False),
        }

    def exists(self, project_id):
        """Answer."""
        return self._answers.get(project_id)


@pytest.fixture
def kit():
    directory = Directory(["one", "two"], ["nobody"])
    with testing.EngineFixture(projects=directory) as kit:
        yield kit


def submit(kit, image, *projects, **how):
    given = {"image_id": image.id, "projects": list(projects)}
    return kit.engine.submit("share", given, **how)


def outcomes(task):
    return {
        one["id"]: (one["outcome"], one["verified"])
        for one in task.result["projects"]
    }


def test_every_project_is_answered_for(kit):
    image = placed.image(kit)
    kit.engine.catalogue.change_members(
        image.id, lambda _: {"two": "accepted"}
    )

    task = kit.run(
        submit(kit, image, "one", "two", "nobody", "other", "demo").id
    )

    assert outcomes(task) == {
        "one": ("shared", True),
        "two": ("known", True),
        "nobody": ("no_such_project", True),
        "other": ("shared", False),
        "demo": ("known", False),
    }
    assert kit.engine.catalogue.members(image.id) == {
        **{"one": "pending", "two": "accepted", "other": "pending"},
    }


def test_without_a_directory_no_project_is_verified():
    with testing.EngineFixture() as kit:
        image = placed.image(kit)

        task = kit.run(submit(kit, image, "one").id)

        assert outcomes(task) == {"one": ("shared", False)}


def test_many_projects_are_shared_with_in_one_request(kit):
    image = placed.image(kit)
    projects = [f"project-{number}" for number in range(256)]

    task = kit.run(submit(kit, image, *projects).id)

    assert set(outcomes(task).values()) == {("shared", False)}
    assert set(kit.engine.catalogue.members(image.id)) == set(projects)


class FailsAtTheEnd(sharing.ShareTask):
    """One whose result is refused, when all is done."""

    def result(self, results):
        """Give what the schema does not allow."""
        return {"projects": "none"}


def test_a_share_that_fails_takes_away_only_those_it_added():
    types = {"share": FailsAtTheEnd}
    with testing.EngineFixture(types=types) as kit:
        image = placed.image(kit)
        members = {"two": "accepted"}
        kit.engine.catalogue.change_members(image.id, lambda _: members)

        task = kit.run(submit(kit, image, "one", "two").id)

        assert task.failure.code == "result_invalid"
        assert kit.engine.catalogue.members(image.id) == members


@pytest.mark.parametrize("visibility", ["private", "public", "community"])
def test_only_a_shared_image_has_members(kit, visibility):
    image = placed.image(kit, visibility=visibility)

    with pytest.raises(gt.InvalidInput, match="only a 'shared' one"):
        submit(kit, image, "one")


def test_an_image_of_another_project_is_not_shared(kit):
    image = placed.image(kit)

    with pytest.raises(gt.InvalidInput, match="there is no image"):
        submit(kit, image, "one", requester=gt.Requester("other"))


@pytest.mark.parametrize("project", ["", "a b", "é", "x" * 65, "../x"])
def test_what_can_be_no_project_is_pointed_at(kit, project):
    image = placed.image(kit)

    with pytest.raises(gt.InvalidInput, match="/projects/1"):
        submit(kit, image, "one", project)


def test_an_image_that_goes_meanwhile_is_said_to_be_gone(kit):
    image = placed.image(kit)
    task = submit(kit, image, "one")
    kit.engine.catalogue.withdraw(image.id, 2)

    assert kit.run(task.id).failure.code == "image_gone"
