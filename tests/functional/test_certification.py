# SPDX-License-Identifier: Apache-2.0
"""A kit that passes a flawed type is a defect; so is one that fails a good."""

import json

import pytest

from glance_tasks import exceptions
from glance_tasks.testing.certification import case
from glance_tasks.testing.certification import certifier
from glance_tasks.testing.certification import grounds
from glance_tasks.testing.certification import kinds
from glance_tasks.testing.certification import patience
from glance_tasks.testing.certification import subject
from tests.support import flawed_types
from tests.support import installation

# Kinds that cost a process for each trial.
DEAR = ("kill", "freeze", "room")
SHIPPED = (
    *("import", "export", "upload", "convert"),
    *("clone", "copy", "share", "delete"),
)
EVERY = tuple(kind.name for kind in certifier.KINDS)


def make_certifier(task_type, *only, sample=1, **chosen):
    place = f"tests.support.flawed_types:{task_type.__name__}"
    return certifier.Certifier(
        subject.Subject("delivery", tuple(subject.examples(task_type)), place),
        only=only,
        sample=sample,
        seed=1,
        **chosen,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_type", "kind", "words"),
    [(t, *found) for t, found in flawed_types.FLAWED.items()],
    ids=[t.__name__ for t in flawed_types.FLAWED],
)
def test_a_flawed_type_is_caught_by_name(task_type, kind, words):
    done = make_certifier(task_type, kind).certify()

    assert not done.passed
    assert {fault.kind for fault in done.faults} == {kind}
    assert any(words in fault.text for fault in done.faults)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_a_type_without_a_flaw_passes(kind):
    done = make_certifier(flawed_types.Good, kind).certify()

    assert done.faults == ()
    assert [count.kind for count in done.counts] == ["plain", kind]
    assert done.counts[1].made > 0


def test_what_is_done_for_good_need_not_be_undone_but_finished():
    done = make_certifier(flawed_types.GoodForGood, "undo").certify()

    assert done.faults == ()


def test_arms_side_by_side_begin_again_with_what_they_lost():
    # TaskFlow's parallel engine went on with them before it was there again.
    done = make_certifier(flawed_types.GoodInParallel, "lost").certify()

    assert done.faults == ()
    assert done.counts[1].made == 2


def test_a_type_that_works_on_an_image_finds_one():
    given = {"image_id": "00000000-0000-4000-8000-000000000002"}
    place = "glance_tasks_flows.cloning:CloneTask"
    places = grounds.Grounds(subject.Subject("clone", (given,), place))

    with places.opened():
        clone = case.Case(places, given)
        faults = clone.look()

    assert faults == []
    assert f"image {given['image_id']}" in clone.reference.before


@pytest.mark.slow
def test_nobody_is_frozen_in_the_midst_of_the_effect_of_another_arm():
    # It would make it when it thaws, however well it asked the fence before.
    task_type = flawed_types.SlowInParallel
    done = make_certifier(task_type, "freeze", sample=8).certify()

    assert done.faults == ()
    assert done.counts[1].made == 8


@pytest.mark.soak
@pytest.mark.parametrize(
    "task_type", [flawed_types.Good, flawed_types.GoodInParallel]
)
@pytest.mark.parametrize("database", ["sqlite", "postgresql", "mysql"])
def test_a_type_without_a_flaw_passes_every_trial(database, task_type):
    done = make_certifier(task_type, sample=40, database=database).certify()

    print(*done.lines(), sep="\n")
    assert done.faults == ()


@pytest.mark.soak
@pytest.mark.parametrize("task_type", flawed_types.FLAWED)
def test_a_flawed_type_fails_the_whole_certification(task_type):
    kind, words = flawed_types.FLAWED[task_type]

    done = make_certifier(task_type, sample=4).certify()

    print(*done.lines(), sep="\n")
    assert any(f.kind == kind and words in f.text for f in done.faults)


@pytest.mark.soak
@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_we_ship_is_certified(database, name):
    done = certifier.certify(name, database=database)

    print(*done.lines(), sep="\n")
    assert done.faults == ()


# --- a trial again -----------------------------------------------------------


def test_a_token_shows_the_fault_again():
    flawed = make_certifier(flawed_types.Appends, "rerun")
    token = flawed.certify().faults[0].token

    again = flawed.replay(token)
    good = make_certifier(flawed_types.Good).replay(
        token.replace("_Appending", "")
    )

    assert token == "0/rerun:_AppendingDeliver"
    assert {fault.token for fault in again} == {token}
    assert good == []


@pytest.mark.parametrize(
    "token",
    ["", "rerun:Deliver", "1/rerun:Deliver", "0/walk:Deliver", "x/rerun:y"],
)
def test_what_is_no_token_is_refused(token):
    with pytest.raises(exceptions.InvalidInput, match="no token"):
        make_certifier(flawed_types.Good).replay(token)


@pytest.mark.parametrize("variant", ["undo:Deliver", "stop:x:y:z", "cut:1"])
def test_a_trial_there_is_not_is_refused(variant):
    with pytest.raises(exceptions.InvalidInput, match="names no trial"):
        make_certifier(flawed_types.Good).replay(f"0/{variant}")


# --- what is asked for -------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"database": "oracle"}, "oracle: is no database"),
        ({"sample": 1}, "walk: is no kind"),
    ],
)
def test_what_there_is_not_is_refused(chosen, words):
    only = ("walk",) if "database" not in chosen else ()

    with pytest.raises(exceptions.InvalidInput, match=words):
        make_certifier(flawed_types.Good, *only, **chosen)


def test_a_type_without_examples_needs_an_input():
    chosen = subject.Subject("delivery", (), "tests.support.flawed_types:Good")

    with pytest.raises(exceptions.InvalidInput, match="no examples"):
        certifier.Certifier(chosen)


def test_a_type_that_fails_undisturbed_is_not_tried_further():
    task_type = flawed_types.Good
    chosen = subject.Subject(
        "delivery",
        ({"uri": "http://files.example/absent", "to": "/scratch.example"},),
        f"tests.support.flawed_types:{task_type.__name__}",
    )

    done = certifier.Certifier(chosen).certify()

    assert [count.kind for count in done.counts] == ["plain"]
    assert "source_not_found" in done.faults[0].text


def test_a_type_that_never_ends_does_not_keep_the_certification(monkeypatch):
    monkeypatch.setattr(patience, "LIMIT_S", 3.0)

    done = make_certifier(flawed_types.NeverEnds).certify()

    assert [fault.text for fault in done.faults] == [
        "it does not end within 3 s"
    ]


def test_what_a_type_declares_is_a_secret_down_to_its_leaves():
    class Declaring(flawed_types.Good):
        """Has a secret that is no text."""

        secret_inputs = ("login",)
        input_schema = {"properties": {"login": {}, "name": {}}}

    given = {"login": {"word": ["open sesame", 7]}, "name": "openly"}

    assert subject.declared(Declaring, given) == ["open sesame"]
    assert subject.declared(Declaring, {"name": "openly"}) == []


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"$ref": "#/$defs/login"},
        {"type": "object"},
    ],
)
def test_what_is_hidden_anywhere_in_an_input_is_a_secret(inner):
    class Hiding(flawed_types.Good):
        """Has a secret."""

        input_schema = {
            "properties": {"login": {"writeOnly": True, **inner}},
            "$defs": {"login": {"type": "string"}},
        }

    for given in "open sesame", ["open sesame"], {"word": "open sesame"}:
        found = subject.secrets(Hiding, {"login": given, "name": "openly"})

        assert found == ["open sesame"]
    assert subject.secrets(Hiding, {"login": "short"}) == []


@pytest.mark.parametrize("number", [1, 5, 12])
def test_a_sample_has_the_ends_of_every_atom(number):
    items = [f"{atom}:{n}" for atom in "abc" for n in range(10)]

    drawn = kinds.drawn(items, number, seed=3)

    ends = {f"{atom}:{n}" for atom in "abc" for n in (0, 1, 9)}
    assert ends <= set(drawn)
    assert len(drawn) == max(number, len(ends))
    assert drawn == sorted(drawn)
    assert drawn == kinds.drawn(items, number, seed=3)


# --- the command -------------------------------------------------------------


@pytest.fixture
def here(tmp_path):
    return installation.Installation(tmp_path)


def test_the_command_prints_a_certificate_and_exits_with_0(here):
    done = here.run("certify", "import", "--kind", "rerun", "--seed", "7")

    assert done.code == 0
    assert "Certificate of 'import'" in done.out
    assert "seed 7" in done.out
    assert "passed: " in done.out
    assert "rerun: 11 trials, 0 failed" in done.err


def test_the_command_exits_with_1_where_a_fault_is(here):
    absent = {
        "import_from": "http://images.example/absent",
        "import_from_format": "raw",
    }

    done = here.run(
        *("certify", "import", "--input", json.dumps(absent), "-f", "json")
    )

    assert done.code == 1
    found = json.loads(done.out)
    assert (found["passed"], found["faults"][0]["token"]) == (False, "0/plain")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["certify", "imprt"], "did you mean 'import'?"),
        (["certify", "import", "--kind", "walk"], "is no kind"),
        (["certify", "import", "--sample", "-1"], "less than 0"),
        (["certify", "import", "--input", "[]"], "expected an object"),
        (["certify", "import", "--replay", "x"], "is no token"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(here, words, said):
    done = here.run(*words)

    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
