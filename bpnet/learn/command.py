"""The command ``bpnet learn``: experiments and exercises."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
from typing import Any

from bpnet.backend import get_backend, use_backend
from bpnet.common.options import directory, integer, writable
from bpnet.common.streams import complain, save_picture
from bpnet.errors import BackendError
from bpnet.learn import LESSONS
from bpnet.learn.exercise import AnswerError, Exercise
from bpnet.learn.exercises import EXERCISES
from bpnet.learn.grader import SECONDS, grade_apart


def add_to(learn: argparse.ArgumentParser) -> None:
    """Add experiments and exercises to the parser of ``bpnet learn``."""
    learn.set_defaults(run=lambda options: learn.print_help())
    names = learn.add_subparsers(metavar="NAME")
    for name, function in LESSONS.items():
        summary = (function.__doc__ or "").partition("\n")[0]
        lesson = names.add_parser(
            name, help=summary, description=summary,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )  # fmt: skip
        lesson.add_argument(
            "--backend",
            default=argparse.SUPPRESS,
            help="the backend, such as numpy, cupy:1, torch:cuda:0, jax or auto; default: "
            "BPNET_BACKEND, or numpy",
        )
        lesson.add_argument("--seed", type=integer(0), default=0, help="of data and weights")
        lesson.add_argument(
            "--out", type=directory, default="learn-output", help="directory for the plot"
        )
        lesson.set_defaults(run=functools.partial(_lesson, lesson, name))
    _add_exercise(names)


def _add_exercise(names: Any) -> None:
    exercise = names.add_parser(
        "exercise",
        help="write a file with a gap to fill in; --check grades it",
        description="Write a short file with one gap to fill in; --check then grades it with "
        "finite differences and explains mistakes. It runs the file as a program, so check "
        f"only what you trust; one that has not ended after {SECONDS:g} s is stopped.",
    )
    exercise.add_argument(
        "name", choices=list(EXERCISES), metavar="NAME", help=", ".join(EXERCISES)
    )
    exercise.add_argument(
        "--file", default=None, help="the file; without it, NAME.py in this directory"
    )
    exercise.add_argument("--check", action="store_true", help="run the file and grade it")
    exercise.set_defaults(run=functools.partial(_exercise, exercise))


def _lesson(parser: argparse.ArgumentParser, name: str, options: dict[str, Any]) -> None:
    """Run an experiment, after checking all options."""
    picture = f"{name}.png"
    try:
        backend = get_backend(options.get("backend"))
        from bpnet.plot import style  # noqa: F401 - fail early without matplotlib

        out = writable(options["out"], [picture])
    except (OSError, ImportError, BackendError) as error:
        parser.error(str(error))
    with use_backend(backend):
        lesson = LESSONS[name](seed=options["seed"])
    save_picture(lesson.draw(), out / picture)
    pictures = [str(out / picture)]
    if (flow := lesson.numbers.get("flow")) is not None:
        pictures.append(str(out / f"{name}.svg"))
        flow.save(pictures[-1])
    print(lesson)
    print(f"\ncomputed on {backend.spec}, picture in {' and '.join(pictures)}")


def _exercise(parser: argparse.ArgumentParser, options: dict[str, Any]) -> int:
    """Write the file of an exercise, or grade it."""
    exercise = EXERCISES[options["name"]]
    path = options["file"]
    if path is None:
        path = f"{exercise.name.replace('-', '_')}.py"
    if options["check"]:
        return _check(parser, exercise, path)
    try:
        _write_new(path, exercise.text)
    except FileExistsError:
        parser.error(f"{path} already exists; grade it with --check, or pass another --file")
    except (OSError, ValueError) as error:
        parser.error(f"cannot write {path!r}: {error}")
    print(f"wrote {path}: fill in the gap in line {exercise.gap}, then run")
    file_option = "" if options["file"] is None else f" --file {path}"
    print(f"bpnet learn exercise {exercise.name}{file_option} --check")
    return 0


def _write_new(path: str, text: str) -> None:
    """Write a file that does not exist yet, or nothing of it."""
    with open(path, "x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise


def _check(parser: argparse.ArgumentParser, exercise: Exercise, path: str) -> int:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        parser.error(
            f"cannot read {path!r} ({error}); run without --check to write the exercise there"
        )
    try:
        grade = grade_apart(exercise, text, path)
    except AnswerError as error:
        complain(f"{parser.prog}: {error}")
        return 1
    print(grade)
    return 0 if grade.passed else 1
