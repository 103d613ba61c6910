# SPDX-License-Identifier: Apache-2.0
"""The two ways to refuse an archive for what it is."""

from glance_tasks import exceptions


def malformed(text: str) -> exceptions.ArchiveError:
    """Make the error of an archive that is damaged or contradicts itself."""
    return exceptions.ArchiveError(text, code="archive_malformed")


def unfit(text: str) -> exceptions.ArchiveError:
    """Make the error of an archive that is whole and not what is taken."""
    return exceptions.ArchiveError(text, code="archive_unfit")
