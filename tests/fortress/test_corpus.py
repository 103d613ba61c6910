# SPDX-License-Identifier: Apache-2.0
"""Every image of the corpus gets its verdict, at a price that is bounded."""

import pytest

from tests.support import judging
from tests.support.corpus import specimen
from tests.support.corpus import whole

MIB = 1 << 20

#: Bytes resident at the peak, of which the interpreter with the inspector
#: has some 20 MiB; 50 were seen.
MEMORY = 100 * MIB


@pytest.fixture(scope="module")
def judgements(tmp_path_factory):
    """The judgement of each image; the table is printed, for -s and -rP."""
    place = tmp_path_factory.mktemp("corpus")
    found = list(judging.judge(whole.SPECIMENS, place))
    print(f"\n{judging.table(found)}")
    return found


def test_the_corpus_is_large_enough():
    assert len(whole.HOSTILE) >= 240
    assert len(whole.HONEST) >= 35
    assert all(subject.code for subject in whole.HOSTILE)
    assert not any(subject.code for subject in whole.HONEST)


def test_every_image_has_a_name_of_its_own():
    names = [subject.name for subject in whole.SPECIMENS]

    assert len(names) == len(set(names))


def wrong(judgements, chosen):
    """List what was said otherwise than expected."""
    return [
        f"{found.specimen.name}: {found.verdict} instead of {found.expected};"
        f" {found.text}"
        for found in judgements
        if found.specimen in chosen and found.verdict != found.expected
    ]


@pytest.mark.slow
def test_every_hostile_image_is_refused_with_its_code(judgements):
    assert wrong(judgements, whole.HOSTILE) == []


def test_every_honest_image_passes(judgements):
    assert wrong(judgements, whole.HONEST) == []


def test_no_image_takes_much_memory(judgements):
    most = max(judgements, key=lambda found: found.memory)

    assert most.memory < MEMORY, most


def test_what_an_owner_reads_names_no_place_of_ours(judgements):
    texts = [found.text for found in judgements if found.specimen.code]

    assert not [text for text in texts if "/image" in text]
    assert not [text for text in texts if "expected" not in text]


@pytest.mark.parametrize(
    ("patched", "verdict"),
    [("bytes(1 << 30)", "MemoryError"), ("exec('while 1: 0')", "died of ")],
)
def test_a_judge_that_takes_too_much_would_be_found(
    tmp_path, monkeypatch, patched, verdict
):
    (tmp_path / "sitecustomize.py").write_text(
        "from glance_tasks.imagefile import inspect\n"
        f"inspect.inspect = lambda *_: {patched}\n"
    )
    subject = specimen.Specimen("greedy", "raw", None, b"x")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:.:flows")

    found = list(judging.judge([subject], tmp_path, processor=1))

    assert found[0].verdict.startswith(verdict)
