# SPDX-License-Identifier: Apache-2.0
"""One method that runs any task, and one answer that says where it is."""

import pytest

import glance_tasks as gt
from glance_tasks.views import requests


@pytest.fixture
def submit(engine, world):
    def call(kind="line", owner="alpha", **told):
        return engine.submit(kind, world.given(**told), owner=owner)

    return call


def test_the_answer_has_the_link(engine, submit):
    who = gt.Requester("alpha", request_id="req-7")
    given = submit().input
    task = engine.submit("line", given, requester=who)

    answer = requests.accepted(task)

    assert answer.status == 202
    assert answer.headers == {"Location": f"/v2/tasks/{task.id}"}
    assert answer.body["task"] == {
        "id": task.id,
        "type": "line",
        "status": "pending",
        "image_id": task.image_id,
        "request_id": "req-7",
        "self": f"/v2/tasks/{task.id}",
    }


@pytest.mark.parametrize("form", ["task", "id", "link"])
@pytest.mark.parametrize("kind", ["line", "arms"])
def test_one_method_runs_tasks_of_any_type(engine, submit, form, kind):
    task = submit(kind)
    forms = {"task": task, "id": task.id, "link": requests.link(task.id)}

    ended = requests.execute_task(engine, forms[form], task.image_id)

    assert (ended.id, ended.status) == (task.id, "success")


def test_a_failure_is_given_not_raised(engine, submit):
    ended = requests.execute_task(engine, submit(fail_at="step-1"))

    assert ended.status == "failure"


def test_one_about_another_image_is_not_run(engine, submit):
    task = submit()

    with pytest.raises(gt.TaskConflict, match="is about the image"):
        requests.execute_task(engine, task, "another")

    assert engine.get(task.id).status == "pending"


def test_nobody_runs_what_they_may_not_see(engine, submit):
    task = submit()

    with pytest.raises(gt.TaskNotFound):
        requests.execute_task(engine, task, requester=gt.Requester("beta"))

    assert engine.get(task.id).status == "pending"
