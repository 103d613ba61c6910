# SPDX-License-Identifier: Apache-2.0
"""The import's schema, plan and graphs; nothing is run here."""

import datetime
import pathlib

import pytest
from taskflow import engines
from taskflow import exceptions as taskflow_exceptions

import glance_tasks as gt
from glance_tasks import registry
from glance_tasks import schema
from glance_tasks_flows import importing

URI = "https://images.example/disk.qcow2"
MINIMAL = {"import_from": URI, "import_from_format": "qcow2"}
IMAGE_ID = "5b1f0b0e-6f7c-4a57-8d0e-1f5d0b1c2a3b"
TYPE = importing.ImportTask()
LONGEST = (1 << 31) - 1


class OpenFetcher:
    """A fetcher that allows every address."""

    def preflight(self, uri):
        pass


class ClosedFetcher:
    """A fetcher that allows none."""

    def preflight(self, uri):
        raise gt.FetchError("it leads nowhere", code="source_not_allowed")


class Look(gt.Atom):
    """A third party's check."""

    behaviour = "idempotent"

    def execute(self, image_file):
        pass


def with_properties(**properties):
    return {**MINIMAL, "image_properties": properties}


def plan_context(task_input, *, skip=(), fetcher=None):
    return gt.PlanContext(
        task_id="task",
        owner="project",
        input=task_input,
        image_id=IMAGE_ID,
        skip_steps=frozenset(skip),
        fetcher=fetcher or OpenFetcher(),
        sender=None,
        catalogue=None,
        limits=gt.Limits(),
    )


def admit(task_input, **chosen):
    """Check an input as a submit does; give the plan."""
    schema.validate(TYPE.input_schema, task_input)
    return TYPE.plan(plan_context(task_input, **chosen))


def pointers(task_input, **chosen):
    """Give the places in an input that are refused."""
    with pytest.raises(gt.InvalidInput) as caught:
        admit(task_input, **chosen)
    return [pointer for pointer, _ in caught.value.errors]


def build(task_input, checks=(), skip=()):
    """Build the flow with no collaborators at all."""
    now = datetime.datetime.now(datetime.UTC)
    plan = {**admit(task_input, skip=skip), "image_id": IMAGE_ID}
    plan["skip_steps"] = list(skip)
    drawn = gt.Task(
        id="task",
        type="import",
        status=gt.Status.PENDING,
        phase=gt.Phase.QUEUED,
        owner="project",
        input=task_input,
        created_at=now,
        updated_at=now,
        plan=plan,
    )
    none = dict.fromkeys(
        (
            *("catalogue", "store", "fetcher", "sender", "staging"),
            *("progress", "stop", "fence"),
        )
    )
    return TYPE.build(
        gt.BuildContext(
            task=drawn,
            work_dir=pathlib.Path(),
            events=None,
            check_types=dict.fromkeys(checks, Look),
            **none,
        )
    )


def names(flow):
    return [atom.name for atom, _ in flow.iter_nodes()]


# --- input -------------------------------------------------------------------


@pytest.mark.parametrize(
    "task_input",
    [
        *TYPE.input_schema["examples"],
        {**MINIMAL, "checksum": "sha256:" + "0a" * 32},
        {**MINIMAL, "checksum": "sha384:" + "0A" * 48},
        {**MINIMAL, "checksum": "sha512:" + "0a" * 64},
        with_properties(),
        with_properties(
            name="n" * 255,
            container_format="bare",
            visibility="community",
            min_disk=0,
            min_ram=LONGEST,
            protected=True,
            tags=["é" * 255, "b"],
            os_distro="debian",
            long="x" * 65536,
        ),
        with_properties(name=None),
    ],
)
def test_what_glance_takes_is_taken(task_input):
    admit(task_input)


@pytest.mark.parametrize("missing", ["import_from", "import_from_format"])
def test_the_address_and_its_format_are_required(missing):
    task_input = {k: v for k, v in MINIMAL.items() if k != missing}

    assert pointers(task_input) == [f"/{missing}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("import_from", 7),
        ("import_from", "no address"),
        ("import_from_format", "floppy"),
        ("import_from_format", "QCOW2"),
        ("checksum", "md5:" + "0" * 32),
        ("checksum", "sha256:" + "0" * 63),
        ("checksum", "sha256:" + "0" * 65),
        ("checksum", "sha256:" + "0" * 64 + "\n"),
        ("checksum", "sha512:" + "g" * 128),
        ("image_properties", ["name"]),
        ("image_properties", None),
        ("owner", "somebody"),
        ("status", "success"),
    ],
)
def test_a_field_that_does_not_fit_is_pointed_at(name, value):
    assert pointers({**MINIMAL, name: value}) == [f"/{name}"]


@pytest.mark.parametrize(
    ("name", "value", "pointer"),
    [
        ("name", "n" * 256, "/name"),
        ("name", "a\0b", "/name"),
        ("name", "\ud800", "/name"),
        ("disk_format", "floppy", "/disk_format"),
        ("container_format", "box", "/container_format"),
        ("visibility", "secret", "/visibility"),
        ("min_disk", -1, "/min_disk"),
        ("min_disk", LONGEST + 1, "/min_disk"),
        ("min_ram", "much", "/min_ram"),
        ("protected", "yes", "/protected"),
        ("tags", "a", "/tags"),
        ("tags", ["a", "a"], "/tags"),
        ("tags", ["t" * 256], "/tags/0"),
        ("tags", [7], "/tags/0"),
        ("tags", [str(number) for number in range(129)], "/tags"),
        ("os_version", 12, "/os_version"),
        ("os_distro", {"name": "debian"}, "/os_distro"),
        ("long", "x" * 65537, "/long"),
        ("k" * 256, "v", ""),
        ("", "v", ""),
        ("a\0b", "v", ""),
    ],
)
def test_a_property_that_does_not_fit_is_pointed_at(name, value, pointer):
    found = pointers(with_properties(**{name: value}))

    assert found == [f"/image_properties{pointer}"]


def test_more_properties_than_glance_keeps_are_refused():
    many = {f"key-{number}": "" for number in range(129)}

    assert pointers(with_properties(**many)) == ["/image_properties"]


@pytest.mark.parametrize(
    "name",
    [
        *("status", "owner", "id", "size", "virtual_size", "checksum"),
        *("location", "locations", "os_hash_algo", "os_hash_value"),
        *("created_at", "updated_at", "deleted"),
    ],
)
def test_what_only_the_service_sets_is_refused_and_pointed_at(name):
    with pytest.raises(gt.InvalidInput, match="by the service alone") as e:
        admit(with_properties(**{name: "active"}))

    assert [pointer for pointer, _ in e.value.errors] == [
        f"/image_properties/{name}"
    ]


def test_an_address_that_may_not_be_fetched_is_refused_at_submit():
    with pytest.raises(gt.InvalidInput, match="it leads nowhere") as caught:
        admit(MINIMAL, fetcher=ClosedFetcher())

    assert caught.value.errors[0][0] == "/import_from"


@pytest.mark.parametrize(
    ("disk_format", "container_format", "fits"),
    [
        ("ami", "ami", True),
        ("ami", "bare", False),
        ("qcow2", "aki", False),
        ("ari", "aki", False),
        ("qcow2", "ovf", True),
    ],
)
def test_amazons_formats_go_with_themselves_only(
    disk_format, container_format, fits
):
    task_input = {
        "import_from": URI,
        "import_from_format": disk_format,
        "image_properties": {"container_format": container_format},
    }

    if fits:
        admit(task_input)
    else:
        assert pointers(task_input) == ["/image_properties/container_format"]


# --- conversion --------------------------------------------------------------


@pytest.mark.parametrize("properties", [{}, {"disk_format": "qcow2"}])
def test_an_image_that_has_its_format_is_not_converted(properties):
    assert admit(with_properties(**properties)) == {"convert_to": None}


def test_an_image_of_another_format_is_converted():
    plan = admit(with_properties(disk_format="raw"))

    assert plan == {"convert_to": "raw"}


@pytest.mark.parametrize("target", ["iso", "ami", "aki", "ari"])
def test_a_conversion_that_does_not_exist_is_refused_at_submit(target):
    task_input = with_properties(disk_format=target)

    assert pointers(task_input) == ["/image_properties/disk_format"]


def test_a_conversion_that_is_left_out_here_is_refused_at_submit():
    task_input = with_properties(disk_format="raw")

    found = pointers(task_input, skip=["ConvertImage"])

    assert found == ["/image_properties/disk_format"]


def test_without_conversions_an_image_that_has_its_format_is_taken():
    plan = admit(MINIMAL, skip=["ConvertImage"])

    assert plan == {"convert_to": None}


# --- archives ----------------------------------------------------------------

PACKED = {**MINIMAL, "import_from_archive": "xz"}


@pytest.mark.parametrize("archive", importing.ARCHIVES)
def test_the_archive_an_image_is_in_may_be_told(archive):
    admit({**MINIMAL, "import_from_archive": archive})


@pytest.mark.parametrize("archive", ["tar", "rar", "", None, ["gzip"]])
def test_an_archive_there_is_not_is_pointed_at(archive):
    found = pointers({**MINIMAL, "import_from_archive": archive})

    assert found == ["/import_from_archive"]


@pytest.mark.parametrize(
    ("task_input", "pointer"),
    [
        (PACKED, "/import_from_archive"),
        (
            with_properties(container_format="ova"),
            "/image_properties/container_format",
        ),
    ],
)
def test_an_archive_that_is_not_unpacked_here_is_refused_at_submit(
    task_input, pointer
):
    admit(task_input)

    assert pointers(task_input, skip=["UnpackImage"]) == [pointer]


@pytest.mark.parametrize(
    "task_input",
    [
        with_properties(container_format="compressed"),
        {**PACKED, **with_properties(container_format="ova")},
    ],
)
def test_an_image_is_never_registered_as_the_archive_it_came_in(task_input):
    assert pointers(task_input) == ["/image_properties/container_format"]


# --- graphs ------------------------------------------------------------------


PLAIN = [
    *("FetchImage", "UnpackImage", "InspectImage"),
    *("StoreImage", "RegisterImage"),
]


def test_without_conversion_the_graph_has_no_atom_for_it():
    assert names(build(MINIMAL)) == PLAIN


def test_with_conversion_it_comes_after_the_inspection():
    flow = build(with_properties(disk_format="raw"))

    assert names(flow) == [*PLAIN[:3], "ConvertImage", *PLAIN[3:]]


def test_where_archives_are_not_unpacked_the_graph_has_no_atom_for_it():
    task_input = with_properties(disk_format="raw")

    flow = build(task_input, skip=["UnpackImage"])

    atoms = {atom.name: atom for atom, _ in flow.iter_nodes()}
    assert "UnpackImage" not in atoms
    assert flow.requires == {"import_from", "import_from_format", "image_id"}
    for name in ("InspectImage", "ConvertImage"):
        assert atoms[name].rebind["fetched"] == "fetched"


@pytest.mark.parametrize(
    ("task_input", "looks_at"),
    [(MINIMAL, "unpacked"), (with_properties(disk_format="raw"), "converted")],
)
def test_checks_look_at_what_will_be_stored_before_it_is(task_input, looks_at):
    flow = build(task_input, checks=["one", "two"])

    atoms = {atom.name: atom for atom, _ in flow.iter_nodes()}
    order = list(atoms)
    assert order[-4:] == ["Check-one", "Check-two", *PLAIN[3:]]
    for name in ("Check-one", "Check-two", "StoreImage"):
        assert atoms[name].rebind["image_file"] == looks_at


@pytest.mark.parametrize(
    ("task_input", "digests"),
    [
        (MINIMAL, ("md5", "sha512")),
        (with_properties(disk_format="qcow2"), ("md5", "sha512")),
        (with_properties(disk_format="raw"), ("sha256",)),
    ],
)
def test_only_what_is_stored_gets_the_digests_that_are_shown(
    task_input, digests
):
    flow = build(task_input)

    atoms = {atom.name: atom for atom, _ in flow.iter_nodes()}
    assert atoms["FetchImage"].digests == digests
    assert atoms["UnpackImage"].digests == digests


@pytest.mark.parametrize("properties", [{}, {"disk_format": "raw"}])
def test_all_that_a_graph_requires_is_in_the_input_and_the_plan(properties):
    flow = build(with_properties(**properties))

    engine = engines.load(flow)
    engine.compile()
    engine.storage.inject({**MINIMAL, "image_id": IMAGE_ID}, transient=True)
    engine.prepare()

    engine.validate()
    assert flow.requires == {"import_from", "import_from_format", "image_id"}


def test_a_graph_that_lacks_an_input_would_be_noticed():
    engine = engines.load(build(MINIMAL))
    engine.compile()
    engine.prepare()

    with pytest.raises(taskflow_exceptions.MissingDependencies):
        engine.validate()


PROVIDED = {"fetched", "unpacked", "inspected", "stored", "registered"}


@pytest.mark.parametrize(
    ("properties", "provides"),
    [
        ({}, PROVIDED),
        ({"disk_format": "raw"}, PROVIDED | {"converted"}),
    ],
)
def test_a_graph_provides_what_the_result_is_made_of(properties, provides):
    assert build(with_properties(**properties)).provides == provides


def test_the_same_input_gives_the_same_graph():
    task_input = with_properties(disk_format="raw")

    first, second = (list(build(task_input).iter_links()) for _ in range(2))

    named = [
        [(a.name, b.name, sorted(meta)) for a, b, meta in links]
        for links in (first, second)
    ]
    assert named[0] == named[1]


# --- result ------------------------------------------------------------------


STORED = {
    "size": 4096,
    "checksum": "0" * 32,
    "os_hash_algo": "sha512",
    "os_hash_value": "f" * 128,
    "location": IMAGE_ID,
}
INSPECTED = {"disk_format": "qcow2", "virtual_size": 1 << 30}


@pytest.mark.parametrize(
    "converted", [{}, {"disk_format": "raw", "virtual_size": 4096}]
)
def test_the_result_tells_what_is_stored_and_nothing_of_where(converted):
    result = TYPE.result(
        {
            "inspected": INSPECTED,
            "stored": {**STORED, **converted},
            "registered": {"image_id": IMAGE_ID},
        }
    )

    schema.validate(TYPE.result_schema, result)
    facts = {**INSPECTED, **STORED, **converted, "image_id": IMAGE_ID}
    del facts["location"]
    assert result == facts


def test_the_result_is_closed():
    with pytest.raises(gt.InvalidInput):
        schema.validate(
            TYPE.result_schema,
            {**INSPECTED, **STORED, "image_id": IMAGE_ID},
        )


# --- the contract ------------------------------------------------------------


def test_the_type_is_taken_on_as_a_deployers_would_be():
    types = registry.Registry(
        types={"import": importing.ImportTask}, checks={}
    )

    assert types.names() == ["import"]
    assert types.broken() == {}


def test_every_example_fits_the_schema_it_stands_in():
    for example in TYPE.input_schema["examples"]:
        schema.validate(TYPE.input_schema, example)
