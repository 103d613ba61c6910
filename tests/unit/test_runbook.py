# SPDX-License-Identifier: Apache-2.0
"""The operator finds every failure code in the runbook, once."""

import pathlib
import re

from glance_tasks import exceptions

PAGE = pathlib.Path(__file__).parents[2] / "doc/source/admin/runbook.rst"


def headings(text):
    """Give the codes that terms of the page's lists are about."""
    terms = re.findall(
        r"^(``[a-z_]+``(?:, ``[a-z_]+``)*)$", text, re.MULTILINE
    )
    return [code for term in terms for code in re.findall(r"[a-z_]+", term)]


def test_every_code_is_in_the_runbook_once():
    found = headings(PAGE.read_text())

    assert sorted(found) == sorted(exceptions.FAILURES)


def test_a_code_that_is_not_there_would_be_missed():
    text = PAGE.read_text().replace("``stalled``\n", "``stuck``\n")

    assert set(headings(text)) ^ set(exceptions.FAILURES) == {
        *("stalled", "stuck"),
    }
