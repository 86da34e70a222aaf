"""The exercises: right answers pass, and for each wrong one the hint says why."""

from __future__ import annotations

import re

import numpy as np
import pytest

import bpnet
from bpnet.cli.main import main
from bpnet.learn.exercise import AnswerError
from bpnet.learn.exercises import EXERCISES
from bpnet.learn.grader import grade_apart
from bpnet.learn.grading import Quantity, marked


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Work in an empty directory, with no backend chosen."""
    monkeypatch.delenv("BPNET_BACKEND", raising=False)
    monkeypatch.chdir(tmp_path)


def filled(name, answer):
    """Put an answer, of one line or more, into the gap of an exercise."""
    lines = EXERCISES[name].text.splitlines()
    gap = EXERCISES[name].gap - 1
    indent = re.match(r"\s*", lines[gap])[0]
    lines[gap : gap + 1] = [indent + line for line in answer.splitlines()]
    return "\n".join(lines) + "\n"


def grade(name, answer):
    return EXERCISES[name].grade(filled(name, answer), "answer.py")


def hints(name, answer):
    return {mark.name: mark.hint for mark in grade(name, answer).marks}


def dense(**wrong):
    """Return the right lines of the Dense backward, some replaced."""
    right = {
        "delta": "error * (1 - a**2)",
        "dW": "a_previous.T @ delta",
        "db": "delta.sum(axis=0)",
        "error_previous": "delta @ W.T",
    }
    return "\n".join(f"{name} = {line}" for name, line in (right | wrong).items())


def momentum(v="mu * v - eta * g", p="p + new_v"):
    return f"new_v = {v}\nnew_p = {p}\nreturn new_p, new_v"


def correction(m_hat="m / (1 - beta1**t)", v_hat="v / (1 - beta2**t)"):
    return f"m_hat = {m_hat}\nv_hat = {v_hat}"


RIGHT = [
    ("derivative", "return 1 - a**2"),
    ("derivative", "return 1 / np.cosh(z) ** 2"),
    ("derivative", "return [[1 - x * x for x in row] for row in a]"),
    ("output-error", "return (p - y) / m"),
    ("output-error", "return (p * (1 - y) - y * (1 - p)) / len(y)"),
    ("dense-backward", dense()),
    ("dense-backward", dense(dW="np.einsum('mi,mo->io', a_previous, delta)")),
    ("update-rule", momentum()),
    ("update-rule", momentum("mu * v - eta * g", "p + mu * v - eta * g")),
    ("softmax-error", "return (p - y) / m"),
    ("softmax-error", "return (p * y.sum(axis=1, keepdims=True) - y) / len(z)"),
    ("adam-correction", correction()),
    (
        "adam-correction",
        correction(m_hat="(1 - beta1**t) ** -1 * m"),
    ),
]


@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_right_answers_pass(name, answer):
    verdict = grade(name, answer)
    assert verdict.passed, str(verdict)
    assert all(mark.error < 1e-6 for mark in verdict.marks)
    assert str(verdict).endswith("all right")


FORGOT = "forgot the activation's derivative"
WRONG = [
    # a derivative
    ("derivative", "return a", "f'(z)", r"a itself is f\(z\)"),
    ("derivative", "return np.ones_like(z)", "f'(z)", "forgot the derivative"),
    ("derivative", "return 1 - a", "f'(z)", "square is missing"),
    ("derivative", "return 1 - z**2", "f'(z)", "take that of a"),
    ("derivative", "return 1 - np.tanh(a)**2", "f'(z)", "taken at a"),
    ("derivative", "return 1 + a**2", "f'(z)", "subtracted, not added"),
    ("derivative", "return a * (1 - a)", "f'(z)", "derivative of the sigmoid"),
    ("derivative", "return a**2 - 1", "f'(z)", "^the sign is wrong$"),
    ("derivative", "return 2 * (1 - a**2)", "f'(z)", "^it is 2 times what is right$"),
    ("derivative", "return (1 - a**2).T", "f'(z)", r"^transposed: .*\(3, 7\), right is"),
    ("derivative", "return (1 - a**2).sum()", "f'(z)", r"^it has shape \(\), right is"),
    ("derivative", "return 'no'", "f'(z)", r"is a str, not an array of shape \(7, 3\)"),
    ("derivative", "return None", "f'(z)", "is None: return it"),
    ("derivative", "return z / 0", "f'(z)", "not finite"),
    ("derivative", "return 1 - a**2 + 0.1 * (z > 1)", "f'(z)", r"element \[\d, \d\] is"),
    # the output error
    ("output-error", "return (-y / p + (1 - y) / (1 - p)) / m", "delta_L", "^that is dL/dp; "),
    ("output-error", "return (1 - y) / (1 - p) - y / p", "delta_L", "is dL/dp; .*1/m is"),
    ("output-error", "return p - y", "delta_L", "m = 7 times too large: 1/m is missing$"),
    ("output-error", "return (y - p) / m", "delta_L", "^the sign is wrong$"),
    ("output-error", "return y - p", "delta_L", "1/m is missing, and the sign is wrong"),
    ("output-error", "return (p - y) / m**2", "delta_L", "divided by m once too often"),
    ("output-error", "return (p - y) / (2 * m)", "delta_L", "0.5 times what is right"),
    ("output-error", "return (z - y) / m", "delta_L", "forgot the sigmoid"),
    ("output-error", "return p / m", "delta_L", "forgot the target"),
    ("output-error", "return (p - y) * p * (1 - p) / m", "delta_L", "here it cancels$"),
    ("output-error", "return (p - y) * p * (1 - p)", "delta_L", "cancels; besides, .* 1/m is"),
    ("output-error", "return ((p - y) / m).T", "delta_L", "transposed"),
    ("output-error", "return ((p - y) / m)[:, 0]", "delta_L", r"right numbers.*\(7,\), right"),
    ("output-error", "return (-y*np.log(p) - (1-y)*np.log(1-p)) / m", "delta_L", "the loss"),
    ("output-error", "return np.full_like(z, np.sum(p - y) / m)", "delta_L", "each has its"),
    # the backward pass of a layer
    ("dense-backward", dense(delta="error"), "delta", FORGOT),
    ("dense-backward", dense(delta="-error"), "delta", f"{FORGOT}.*besides, the sign is wrong"),
    ("dense-backward", dense(delta="error * a"), "delta", r"f\(z\) instead of f'\(z\)"),
    ("dense-backward", dense(delta="1 - a**2"), "delta", "forgot the error"),
    ("dense-backward", dense(delta="error * (1 - z**2)"), "delta", "of z itself"),
    ("dense-backward", dense(delta="error * (1 - a**2) / len(z)"), "delta", "once too often"),
    ("dense-backward", dense(dW="delta.T @ a_previous"), "dW", r"^transposed: .*\(2, 3\)"),
    ("dense-backward", dense(dW="-delta.T @ a_previous"), "dW", "^transposed.*, the sign is"),
    ("dense-backward", dense(dW="a_previous.T @ error"), "dW", FORGOT),
    ("dense-backward", dense(dW="a_previous.T @ delta / len(z)"), "dW", "m once too often"),
    ("dense-backward", dense(dW="-a_previous.T @ delta"), "dW", "^the sign is wrong$"),
    ("dense-backward", dense(dW="..."), "dW", "^not written yet$"),
    ("dense-backward", dense(db="delta"), "db", "not summed over the examples"),
    ("dense-backward", dense(db="delta.mean(axis=0)"), "db", "divided by m once too often"),
    ("dense-backward", dense(db="delta.sum(axis=1)"), "db", "over the units instead"),
    ("dense-backward", dense(db="error.sum(axis=0)"), "db", FORGOT),
    ("dense-backward", dense(db="delta.sum(axis=0, keepdims=True)"), "db",
     r"right numbers in the wrong shape: it has shape \(1, 2\), right is \(2,\)"),
    ("dense-backward", dense(error_previous="error @ W.T"), "error_previous", FORGOT),
    ("dense-backward", dense(error_previous="(delta @ W.T).T"), "error_previous", "transposed"),
    ("dense-backward", dense(delta="error"), "dW", "follows from your delta, which is wrong"),
    ("dense-backward", dense(delta="error"), "db", "follows from your delta, which is wrong"),
    ("dense-backward", dense(delta="error"), "error_previous", "follows from your delta"),
    # an update rule
    ("update-rule", momentum(v="mu * v + eta * g"), "v", "climbs the gradient"),
    ("update-rule", momentum(v="-eta * g"), "v", "forgot the momentum"),
    ("update-rule", momentum(v="mu * v - g"), "v", "forgot the learning rate"),
    ("update-rule", momentum(v="v - eta * g"), "v", "kept all of the old velocity"),
    ("update-rule", momentum(v="mu * v - (1 - mu) * eta * g"), "v", "not scaled by 1 - mu"),
    ("update-rule", momentum(v="eta * g - mu * v"), "v", "^the sign is wrong$"),
    ("update-rule", momentum(v="-eta * g"), "p", "plain gradient descent"),
    ("update-rule", momentum(v="mu * v + eta * g"), "p", "follows from your v, which is wrong"),
    ("update-rule", momentum(p="p - eta * g"), "p", "plain gradient descent"),
    ("update-rule", momentum(p="p + v"), "p", "moved by the old velocity"),
    ("update-rule", momentum(p="p - new_v"), "p", "added, not subtracted"),
    ("update-rule", momentum(p="new_v"), "p", "forgot the old p"),
    ("update-rule", momentum(v="mu * v - (1 - mu) * g"), "v", "g, without eta, is"),
    ("update-rule", momentum(v="mu * v + (1 - mu) * g"), "v", "as Adam has; here the push is"),
    ("update-rule", momentum(v="mu * v + (1 - mu) * g", p="p - eta * new_v"), "p", "a mean"),
    ("update-rule", momentum(p="p - eta * new_v"), "p", "eta is in it already"),
    # softmax with cross-entropy
    ("softmax-error", "return p - y", "delta_L", "1/m is missing$"),
    ("softmax-error", "return (y - p) / m", "delta_L", "^the sign is wrong$"),
    ("softmax-error", "return (z - y) / m", "delta_L", "forgot the softmax"),
    ("softmax-error", "return p / m", "delta_L", "forgot the target"),
    ("softmax-error", "return -y / p / m", "delta_L", "^that is dL/dp; each p_k depends"),
    ("softmax-error", "return y * (p - 1) / m", "delta_L", "^only the true class"),
    ("softmax-error", "return (p - y) / y.size", "delta_L", "not over the classes"),
    ("softmax-error", "return (p - y) * p * (1 - p) / m", "delta_L", "belongs to the sigmoid"),
    ("softmax-error", "return -y * np.log(p) / m", "delta_L", "the loss, not its derivative"),
    ("softmax-error", "return 0 * z", "delta_L", "the sum over the classes, which is 0"),
    ("softmax-error", "return ((p - y) / m).sum(axis=1)", "delta_L", r"shape \(7,\), right is"),
    # Adam's bias correction
    ("adam-correction", correction(m_hat="m"), "m_hat", "^not corrected$"),
    ("adam-correction", correction(m_hat="m * (1 - beta1**t)"), "m_hat", "do not multiply"),
    ("adam-correction", correction(m_hat="m / (1 - beta1)"), "m_hat", "to the power"),
    ("adam-correction", correction(m_hat="m / (1 - beta1 * t)"), "m_hat", "times t is not"),
    ("adam-correction", correction(v_hat="v / beta2**t"), "v_hat", "not by 1 - beta"),
    ("adam-correction", correction(v_hat="v / (1 - beta1**t)"), "v_hat", "beta2 belongs here"),
    ("adam-correction", correction(v_hat="v / (1 - beta2**(t-1))"), "v_hat", "not t - 1"),
    ("adam-correction", correction(v_hat="v / (1 - beta2**(t+1))"), "v_hat", r"not t \+ 1"),
    ("adam-correction", correction(v_hat="(v / (1 - beta2**t)) ** 0.5"), "v_hat", "later"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("name", "answer", "quantity", "hint"), WRONG)
def test_each_wrong_answer_gets_a_hint(name, answer, quantity, hint):
    verdict = grade(name, answer)
    assert not verdict.passed
    told = {mark.name: mark.hint for mark in verdict.marks}
    assert told[quantity] is not None
    assert re.search(hint, told[quantity]), told[quantity]
    assert "not right yet" in str(verdict)


def test_only_the_wrong_quantity_is_called_wrong():
    assert hints("dense-backward", dense(db="delta.mean(axis=0)")) == {
        "delta": None, "dW": None, "error_previous": None,
        "db": "it is m = 7 times too small: divided by m once too often",
    }  # fmt: skip
    told = hints("dense-backward", dense(dW="a_previous.T @ error"))
    assert [name for name, hint in told.items() if hint] == ["dW"]


@pytest.mark.parametrize(
    ("name", "answer", "layers"),
    [
        ("derivative", "return 1 - a", "layer 1 W, layer 1 b, layer 2 W, layer 2 b"),
        ("output-error", "return p - y", "layer 1 W, .*, layer 3 b"),
        ("dense-backward", dense(db="-delta.sum(axis=0)"), "layer 1 b, layer 2 b"),
        ("dense-backward", dense(error_previous="-delta @ W.T"), "layer 1 W, layer 1 b"),
    ],
)
def test_the_gradient_check_of_a_network_names_what_is_hit(name, answer, layers):
    trial = grade(name, answer).trial
    assert trial.name == "in a network"
    assert trial.error > 0.1
    assert re.fullmatch(f"the gradient check fails for {layers}", trial.hint)


def test_a_wrong_update_rule_learns_other_weights():
    assert "other weights" in grade("update-rule", momentum(v="-eta * g")).trial.hint


def test_a_right_function_that_fails_in_a_network_does_not_pass():
    answer = "return 1 - a**2 if a.shape[1] == 3 and len(a) == 7 and a[0, 0] != 0.1257 else z"
    verdict = grade("derivative", f"if z.shape[1] == 4:\n    return z\n{answer}")
    assert all(mark.hint is None for mark in verdict.marks)
    assert not verdict.passed
    assert "see above" in str(verdict)


def test_an_answer_cannot_modify_the_test_data():
    assert grade("derivative", "z[:] = 0\nb = 1 - a**2\na[:] = 0\nreturn b").passed


# --- programs that do not run ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("derivative", "def derivative(z, a:\n", r"^me\.py, line 1: SyntaxError: "),
        (
            "derivative",
            "import no_such_thing\n",
            r"^me\.py, line 1: ModuleNotFoundError: .*thing",
        ),
        ("derivative", "x = 1\n", r"^me\.py defines no function 'derivative'$"),
        ("derivative", "derivative = 3\n", r"^me\.py defines no function 'derivative'$"),
        (
            "derivative",
            "raise SystemExit('bye')",
            r"^me\.py, line 1: the program ends itself here \(SystemExit: bye\); remove exit",
        ),
        (
            "derivative",
            filled("derivative", "exit()"),
            r"^me\.py, line 12: the program ends itself here \(SystemExit: None\); remove exit",
        ),
        *(
            (
                "derivative",
                filled("derivative", f"return {power}"),
                r"^me\.py, line 12: a power is written a\*\*2; a\^2 is the exclusive",
            )
            for power in ("1 - a^2", "1.0 - float(a[0, 0])^2")
        ),
        (
            "derivative",
            "def derivative(z):\n    return z\n",
            r"^me\.py: TypeError: .*positional",
        ),
        ("derivative", "\x00", r"^me\.py(, line \d)?: \w+Error: .*null bytes"),
        (
            "derivative",
            filled("derivative", "return 1 - A**2"),
            r"^me\.py, line 12: NameError: name 'A' is not defined",
        ),
        (
            "derivative",
            filled("derivative", "raise ValueError('two\\nlines')"),
            r"^me\.py, line 12: ValueError: two lines$",
        ),
        (
            "dense-backward",
            filled("dense-backward", dense(error_previous="delta @ W")),
            r"^me\.py, line 26: ValueError: matmul: ",
        ),
        (
            "derivative",
            filled("derivative", "f = lambda: f()\nreturn f()"),
            r"^me\.py, line 12: RecursionError: ",
        ),
        (
            "dense-backward",
            EXERCISES["dense-backward"].text.replace("return delta, dW, db,", "return"),
            r"^me\.py: .*the gap in line 23 is still open|must return 4 values",
        ),
        (
            "dense-backward",
            filled("dense-backward", dense() + "\nreturn delta, dW"),
            r"^me\.py: backward must return 4 values, delta, dW, db, error_previous; got",
        ),
    ],
)
def test_errors_of_an_answer_are_one_line_with_its_number(name, text, message):
    with pytest.raises(AnswerError) as caught:
        EXERCISES[name].grade(text, "me.py")
    assert re.search(message, str(caught.value)), caught.value
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", EXERCISES)
def test_an_open_gap_is_named_with_its_line(name):
    exercise = EXERCISES[name]
    with pytest.raises(
        AnswerError, match=rf"me\.py: the gap in line {exercise.gap} is still open"
    ):
        exercise.grade(exercise.text, "me.py")
    assert "..." in exercise.text.splitlines()[exercise.gap - 1]


# --- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXERCISES)
def test_the_command_writes_the_file_once(capsys, tmp_path, name):
    assert main(["learn", "exercise", name]) == 0
    out, err = capsys.readouterr()
    path = tmp_path / f"{name.replace('-', '_')}.py"
    assert path.read_text() == EXERCISES[name].text
    assert err == ""
    assert out.splitlines()[-1] == f"bpnet learn exercise {name} --check"
    path.write_text("mine")
    assert main(["learn", "exercise", name]) == 2
    out, err = capsys.readouterr()
    assert (out, path.read_text()) == ("", "mine")
    assert re.fullmatch(r"bpnet learn exercise: error: .* already exists; .*\n", err)


@pytest.mark.parametrize(("name", "answer"), {name: (name, a) for name, a in RIGHT}.values())
def test_the_command_grades(capsys, tmp_path, monkeypatch, name, answer):
    monkeypatch.setenv("BPNET_BACKEND", "array_api_strict")  # answers are NumPy's all the same
    (tmp_path / "mine.py").write_text(filled(name, answer))
    assert main(["learn", "exercise", name, "--file", "mine.py", "--check"]) == 0
    out, err = capsys.readouterr()
    assert (out.splitlines()[-1], err) == ("all right", "")


def test_a_wrong_answer_ends_in_status_1(capsys, tmp_path):
    (tmp_path / "derivative.py").write_text(filled("derivative", "return 1 - a"))
    assert main(["learn", "exercise", "derivative", "--check"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "WRONG: the square is missing" in out
    assert out.splitlines()[-1] == "not right yet: f'(z)"


def test_an_answer_that_does_not_run_is_one_line_on_stderr(capsys, tmp_path):
    (tmp_path / "derivative.py").write_text(filled("derivative", "return oops"))
    assert main(["learn", "exercise", "derivative", "--check"]) == 1
    assert capsys.readouterr() == (
        "",
        "bpnet learn exercise: derivative.py, line 12: NameError: name 'oops' is not defined\n",
    )


def stopped(answer, seconds=60.0, before=""):
    """Return why an answer is stopped."""
    text = before + filled("derivative", answer)
    with pytest.raises(AnswerError) as caught:
        grade_apart(EXERCISES["derivative"], text, "über.py", seconds)
    return str(caught.value)


def test_an_answer_that_never_ends_is_stopped_with_its_line():
    told = stopped("while True:\n    z = z + 0", seconds=1.0)
    assert re.fullmatch(r"über\.py, line 1[23]: stopped after 1 s; is there a loop .*\?", told)
    told = stopped("return 1 - a**2", seconds=1.0, before="while True: pass\n")
    assert told.startswith("über.py, line 1: stopped after 1 s")


def test_an_answer_that_ends_the_process_is_said_to():
    told = stopped("import os\nos._exit(3)")
    assert told.startswith("über.py: the program ended (status 3) before it was graded")
    assert "the program ends itself here" in stopped("import sys\nsys.exit(1)")


def test_an_answer_cannot_wait_for_input():
    assert "EOFError" in stopped("return input()")


def test_the_grade_of_the_process_is_that_of_the_exercise(capfd):
    text = filled("dense-backward", "print('hello')\n" + dense(dW="a_previous.T @ error"))
    exercise = EXERCISES["dense-backward"]
    apart = grade_apart(exercise, text, "me.py")
    assert "hello" in capfd.readouterr().out
    assert apart == exercise.grade(text, "me.py")
    assert not apart.passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nonsense"], "invalid choice: 'nonsense' .*derivative"),
        ([], "required: NAME"),
        (["derivative", "--check"], r"cannot read 'derivative\.py'"),
        (["derivative", "--check", "--file", "."], "cannot read '.'"),
        (["derivative", "--check", "--file", "binary"], "cannot read 'binary'"),
        (["derivative", "--file", "no/such/place.py"], "cannot write 'no/such/place.py'"),
        (["derivative", "--file", ""], "cannot write ''"),
        (["derivative", "--file", "a\0b"], "cannot write"),
    ],
)
def test_bad_options_end_in_one_line(capsys, tmp_path, options, message):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert main(["learn", "exercise", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.search(message, err)


def test_help_says_that_the_file_is_run(capsys):
    assert main(["learn", "exercise", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "runs the file as a program" in out
    for name in EXERCISES:
        assert name in out


# --- grading itself -------------------------------------------------------------------------


def test_grading_agrees_with_the_library_and_with_finite_differences():
    for exercise in EXERCISES.values():
        for quantity in exercise.quantities(lambda *arguments: ...):
            scale = np.abs(quantity.want).max()
            assert np.abs(quantity.want - quantity.reference).max() < 1e-8 * scale


def test_no_known_mistake_is_right_or_like_another():
    for exercise in EXERCISES.values():
        for quantity in exercise.quantities(lambda *arguments: ...):
            follows = [text for text in quantity.mistakes if text.startswith("follows")]
            others = [
                quantity.mistakes[text] for text in quantity.mistakes if text not in follows
            ]
            for k, wrong in enumerate(others):
                for other in [quantity.want, *others[:k]]:
                    if wrong.shape == other.shape:
                        assert np.abs(wrong - other).max() > 1e-3 * np.abs(other).max()


@pytest.mark.parametrize("factor", [-1.0, 7.0, -7.0, 1 / 7, 0.5, -3.0])
def test_a_factor_is_found_whatever_the_numbers(factor):
    rng = np.random.default_rng(3)
    for shape in [(4, 4), (2, 3), (5,), ()]:
        right = rng.normal(size=shape)
        hint = marked(Quantity("x", factor * right, right, right, {}, 7)).hint
        assert ("sign" in hint) == (factor < 0)
        assert ("1/m is missing" in hint) == (abs(factor) == 7)
        assert ("once too often" in hint) == (factor == 1 / 7)


def test_the_backend_of_grading_is_numpy():
    seen = []

    class Spy(type(EXERCISES["derivative"])):
        def quantities(self, answer):
            seen.append(bpnet.get_backend().name)
            return super().quantities(answer)

    with bpnet.use_backend("array_api_strict"):
        Spy().grade(filled("derivative", "return 1 - a**2"), "me.py")
    assert seen == ["numpy"]
