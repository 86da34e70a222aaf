"""Base class of exercises: a file with one gap, and how an answer is run and graded.

An answer is a Python program, and grading executes it: grade only files that you trust.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bpnet.backend.registry import use_backend
from bpnet.common.tables import align
from bpnet.learn.grading import Mark, Quantity, marked

GAP = "# <- the gap"


class AnswerError(Exception):
    """An answer that cannot be graded: it does not run, or the gap is not filled in."""


class Grade(NamedTuple):
    """The result of grading an answer; prints as a table."""

    marks: Sequence[Mark]  # one for each quantity that the answer computes
    trial: Mark  # of the answer inside a network

    @property
    def passed(self) -> bool:
        """Whether everything is right."""
        return all(mark.hint is None for mark in (*self.marks, self.trial))

    def __str__(self) -> str:
        rows = [("", "relative error", "")]
        for name, error, hint in (*self.marks, self.trial):
            verdict = "right" if hint is None else f"WRONG: {hint}"
            rows.append((name, "-" if error is None else f"{error:.1e}", verdict))
        wrong = [mark.name for mark in self.marks if mark.hint]
        end = (
            "all right" if self.passed else f"not right yet: {', '.join(wrong) or 'see above'}"
        )
        return "\n".join([*align(rows), end])


class Answer:
    """The learner's function, from a program that must define it.

    Raises AnswerError, in one line with the location, if the program or the function fails.
    """

    def __init__(self, text: str, path: str, function: str) -> None:
        self.path, self.function = path, function
        namespace: dict[str, Any] = {"__name__": "exercise", "__file__": path}
        try:
            program = compile(text, path, "exec")
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            reason = getattr(error, "msg", str(error))
            raise AnswerError(
                f"{self._place(line)}: {type(error).__name__}: {reason}"
            ) from error
        self._run(exec, program, namespace)
        if not callable(namespace.get(function)):
            raise AnswerError(f"{path} defines no function {function!r}")
        self._answer = namespace[function]

    def __call__(self, *arguments: Any) -> Any:
        """Call the function with copies, so that it cannot modify the test data."""
        return self._run(self._answer, *(np.array(a) for a in arguments))

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            line, trace = None, error.__traceback__
            while trace is not None:  # the innermost frame of the learner's file
                if trace.tb_frame.f_code.co_filename == self.path:
                    line = trace.tb_lineno
                trace = trace.tb_next
            raise AnswerError(f"{self._place(line)}: {_reason(error)}") from error

    def _place(self, line: int | None) -> str:
        return self.path if line is None else f"{self.path}, line {line}"


def _reason(error: BaseException) -> str:
    """Return in one line what an answer raised, and what helps."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SystemExit):
        return f"the program ends itself here ({reason}); remove exit() or sys.exit()"
    if isinstance(error, TypeError) and ("bitwise_xor" in reason or "for ^" in reason):
        return f"a power is written a**2; a^2 is the exclusive or of bits ({reason})"
    return reason


class Exercise(ABC):
    """A file with one gap, and the right answer."""

    name: ClassVar[str]  # for ``bpnet learn exercise NAME``
    function: ClassVar[str]  # the function with the gap
    returns: ClassVar[tuple[str, ...]]  # names of its return values, in order
    text: ClassVar[str]  # the file; the line of the gap contains `GAP`
    trial_name: ClassVar[str] = "in a network"

    @property
    def gap(self) -> int:
        """Line number of the gap."""
        return 1 + [GAP in line for line in self.text.splitlines()].index(True)

    def grade(self, text: str, path: str) -> Grade:
        """Run the program `text` and grade it; `path` is its name in error messages.

        Raises AnswerError, in one line, if it cannot be graded.
        """
        answer = Answer(text, path, self.function)
        with use_backend("numpy"):  # answers use NumPy
            marks = [marked(quantity) for quantity in self.quantities(answer)]
            if all(mark.hint == "not written yet" for mark in marks):
                line = next(
                    (k for k, row in enumerate(text.splitlines(), 1) if GAP in row), None
                )
                where = "" if line is None else f" in line {line}"
                raise AnswerError(f"{path}: the gap{where} is still open")
            if any(mark.error is None for mark in marks):
                return Grade(marks, Mark(self.trial_name, None, "not tried, see above"))
            return Grade(marks, self.trial(answer))

    def results(self, answer: Answer, *arguments: Any) -> tuple[Any, ...]:
        """Call the answer, and return as many results as it must return."""
        results = answer(*arguments)
        if len(self.returns) == 1 or results is Ellipsis:
            return (results,) * len(self.returns)
        if not isinstance(results, tuple | list) or len(results) != len(self.returns):
            raise AnswerError(
                f"{answer.path}: {self.function} must return {len(self.returns)} values, "
                f"{', '.join(self.returns)}; got {type(results).__name__}"
            )
        return tuple(results)

    @abstractmethod
    def quantities(self, answer: Answer) -> list[Quantity]:
        """Call the answer, and pair its results with the right ones."""

    @abstractmethod
    def trial(self, answer: Answer) -> Mark:
        """Try the answer as part of a whole network."""
