"""Grade an answer in a process of its own, which ends whatever the answer does.

A process can be stopped on every platform. A thread cannot; a signal interrupts no computation
on Windows, in another thread, or in a library. The process watches itself by
:mod:`faulthandler`, which knows the line where it was stopped.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bpnet.learn.exercise import AnswerError, Exercise, Grade
from bpnet.learn.exercises import EXERCISES
from bpnet.learn.grading import Mark

# A right answer takes about a second.
SECONDS = 30.0


def grade_apart(exercise: Exercise, text: str, path: str, seconds: float = SECONDS) -> Grade:
    """Run the program `text` in another process and grade it; `path` names it in errors.

    It cannot read from stdin; what it prints is shown.

    Raises
    ------
    AnswerError
        If it cannot be graded, ends the process, or has not ended after some seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "answer").write_bytes(text.encode())
        arguments = [exercise.name, path, folder, str(seconds)]
        sys.stdout.flush()
        status = subprocess.run(
            [sys.executable, "-P", "-m", "bpnet.learn.grader", *arguments],
            stdin=subprocess.DEVNULL, check=False,
        ).returncode  # fmt: skip
        return _result(Path(folder), path, status, seconds)


def _result(folder: Path, path: str, status: int, seconds: float) -> Grade:
    """Read what the process has left in a folder."""
    grade, stopped = folder / "grade", (folder / "stopped").read_text(encoding="utf-8")
    if stopped:
        file = path.encode("ascii", "backslashreplace").decode()
        found = re.search(f'File "{re.escape(file)}", line (\\d+)', stopped)
        where = f", line {found[1]}" if found else ""
        raise AnswerError(
            f"{path}{where}: stopped after {seconds:g} s; is there a loop that never ends?"
        )
    if not grade.exists():
        raise AnswerError(
            f"{path}: the program ended (status {status}) before it was graded; remove what "
            f"ends it, such as exit()"
        )
    error, marks = json.loads(grade.read_text(encoding="utf-8"))
    if error is not None:
        raise AnswerError(error)
    *quantities, trial = (Mark(*mark) for mark in marks)
    return Grade(quantities, trial)


def main(name: str, path: str, folder: str, seconds: str) -> None:
    """Grade an answer in this process, and write the result into the folder."""
    error, marks = None, []
    with open(os.path.join(folder, "stopped"), "w", encoding="utf-8") as stopped:
        text = Path(folder, "answer").read_bytes().decode()
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=stopped)
        try:
            grade = EXERCISES[name].grade(text, path)
            marks = [*grade.marks, grade.trial]
        except AnswerError as found:
            error = str(found)
        faulthandler.cancel_dump_traceback_later()
    Path(folder, "grade").write_text(json.dumps([error, marks]), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
