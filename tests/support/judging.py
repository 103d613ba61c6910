# SPDX-License-Identifier: Apache-2.0
"""Judges images, each in a process of its own, and measures what it takes.

``python -m tests.support.judging`` prints the verdicts on the whole corpus.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import json
import pathlib
import subprocess
import sys
import tempfile

from tests.support import courtroom
from tests.support.corpus import specimen
from tests.support.corpus import whole

MIB = 1 << 20

#: Seconds of processor time that judging one image may take; 2 were seen.
PROCESSOR = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What was said of one image, and what saying it took.

    :ivar size: of the file, in bytes
    :ivar verdict: its failure code, ``passed``, or what ended the process
    :ivar memory: bytes resident at the peak, of the whole process
    :ivar processor: seconds
    """

    specimen: specimen.Specimen
    size: int
    verdict: str
    text: str
    memory: int
    processor: float

    @property
    def expected(self) -> str:
        """The verdict it ought to have."""
        return self.specimen.code or "passed"


def judge(
    subjects: Iterable[specimen.Specimen],
    directory: pathlib.Path,
    processor: int = PROCESSOR,
) -> Iterator[Judgement]:
    """Make each image in ``directory``, have it judged, and remove it.

    :param processor: seconds after which the judge is killed
    """
    path = directory / "image"
    with subprocess.Popen(
        [sys.executable, "-m", courtroom.__name__, str(processor)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as court:
        assert court.stdin and court.stdout
        for subject in subjects:
            subject.write(path)
            print(subject.declared, path, file=court.stdin, flush=True)
            answer = json.loads(court.stdout.readline())
            yield Judgement(subject, path.stat().st_size, *answer)
            path.unlink()


def table(judgements: Iterable[Judgement]) -> str:
    """Give a line for each."""
    lines = [
        f"{'image':58} {'bytes':>14} {'verdict':22} {'expected':22}"
        f" {'MiB':>5} {'CPU s':>6}"
    ]
    lines += [
        f"{found.specimen.name[:58]:58} {found.size:14,} {found.verdict:22}"
        f" {found.expected:22} {found.memory / MIB:5.0f}"
        f" {found.processor:6.2f}"
        for found in judgements
    ]
    return "\n".join(lines)


def main(*names: str) -> int:
    """Judge all, or those whose name holds one of ``names``."""
    chosen = [
        subject
        for subject in whole.SPECIMENS
        if not names or any(name in subject.name for name in names)
    ]
    with tempfile.TemporaryDirectory() as directory:
        judgements = list(judge(chosen, pathlib.Path(directory)))
    print(table(judgements))
    wrong = [found for found in judgements if found.verdict != found.expected]
    for found in wrong:
        print(f"\n{found.specimen.name}: {found.text}")
    print(f"\n{len(judgements)} images, {len(wrong)} wrong verdicts")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
