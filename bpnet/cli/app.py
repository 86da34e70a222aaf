"""The commands of the extra "cli" as a Typer application: their options and help.

Each command imports its module when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bpnet.cli.commands import COMMANDS
from bpnet.cli.failures import CommandError, UserError
from bpnet.common.streams import complain
from bpnet.errors import BackendError

# The commands that argparse runs; the shell completes them, too.
_OTHERS = ("backends", "demo", "learn", "parity")

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="The table: .csv, .tsv, .csv.gz, .parquet, .npy, .npz or .libsvm, with names of "
        "columns in the first line of a CSV.",
    ),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A file that `train` wrote.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout, everything else on stderr."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
BackendName = Annotated[
    str | None,
    typer.Option(
        help="Where to compute, such as numpy, jax, torch:cuda:0, cupy or auto; without it, "
        "BPNET_BACKEND or numpy. See `bpnet bench`."
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(help="What separates the columns of a CSV; found out without it."),
]
Encoding = Annotated[
    str | None, typer.Option(help="Of a CSV, such as latin-1; without it, UTF-8.")
]
Preset = Annotated[
    str,
    typer.Option(
        help="td: RealMLP with its tuned defaults; td-s: simpler; plain: a usual MLP."
    ),
]
Columns = Annotated[list[str] | None, typer.Option(metavar="COLUMN")]


def train(
    data: Data,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.")],
    task: Annotated[
        str,
        typer.Option(help="classification, regression, or auto: text and few whole numbers "
                     "are classes."),
    ] = "auto",
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Leave a column out; may be repeated."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Learn from a column that looks like an id."),
    ] = None,
    categorical: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Read numbers as categories, such as zip codes."),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=10, metavar="ROWS", help="Learn from so many rows, drawn at random; "
                     "with --stream, hold so many in memory."),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Hold only a sample of the rows in memory, and train on "
                     "all of them block by block, as if the file did not fit."),
    ] = False,
    test_size: Annotated[
        float, typer.Option(min=0.01, max=0.9, help="Share of the rows to test on.")
    ] = 0.2,
    time_column: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Test on the last rows by this column, as when "
                     "the future is predicted."),
    ] = None,
    preset: Preset = "td",
    epochs: Annotated[
        float,
        typer.Option(metavar="NUMBER", help="Most passes over the rows; below 1, the share of "
                     "the rows to train on once."),
    ] = 256,
    time_limit: Annotated[
        float,
        typer.Option(min=0.0, metavar="SECONDS", help="Of training, without reading and "
                     "report: fewer epochs if they take longer; 0 is no limit."),
    ] = 30.0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of split, weights and order.")
    ] = 0,
    early_stopping: Annotated[
        bool | None,
        typer.Option("--early-stopping/--no-early-stopping", help="Stop when validation stays "
                     "worse; the default is that of the preset: plain does not."),
    ] = None,
    diagnose: Annotated[
        bool,
        typer.Option("--diagnose/--no-diagnose", help="Record gradients, for the report and "
                     "`bpnet diagnose`; without it, training is some percent faster."),
    ] = True,
    backend: BackendName = None,
    separator: Separator = None,
    encoding: Encoding = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of model.safetensors and report.html; without "
                     "it, the name of the data with -model."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> int:  # fmt: skip
    """Train on a table; save the model and a report.

    Gaps, categories and scales are taken care of; ids and dates are left out, and said. A part
    of the rows is never trained on, and tells how good the model is.

    `mpiexec -n 4 bpnet train ...` trains in 4 processes, which share each batch.

    Exit status: 0; 1 if it failed; 2 for a mistake in options or data; 130 after Ctrl-C, which
    saves the best epoch so far.
    """
    from bpnet.cli.plan import Choices
    from bpnet.cli.run import Options
    from bpnet.cli.train import train as run_train

    _check_choice("--task", task, ("auto", "classification", "regression"))
    _check_choice("--preset", preset, _PRESETS)
    _check_finite("--time-limit", time_limit)
    if not 0.0 < epochs < float("inf") or (epochs > 1.0 and epochs % 1.0):
        raise UserError(
            f"argument --epochs: must be a whole number >= 1, or a share of the rows below 1, "
            f"got {epochs:g}"
        )
    choices = Choices(target, task, tuple(drop or ()), tuple(keep or ()),
                      tuple(categorical or ()), time_column)  # fmt: skip
    return run_train(
        Options(
            data, choices, separator, encoding, sample, stream, test_size, preset,
            epochs if epochs < 1.0 else int(epochs), time_limit, seed, early_stopping,
            diagnose, backend, out, force, as_json,
        )
    )  # fmt: skip


def predict(
    model: Model,
    data: Data,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Where to write: a .csv or .parquet.")
    ],
    proba: Annotated[
        bool, typer.Option("--proba", help="Also the probability of each class.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Copy a column, such as an id; may be repeated."),
    ] = None,
    chunk: Annotated[int, typer.Option(min=1, help="Rows in memory at a time.")] = 50_000,
    backend: BackendName = None,
    separator: Separator = None,
    encoding: Encoding = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Predict the rows of a table with a saved model, in their order.

    Columns are found by name; CSV and Parquet are read in chunks.
    """
    from bpnet.cli.predict import Options
    from bpnet.cli.predict import predict as run_predict

    options = Options(model, data, separator, encoding, backend, as_json)
    return run_predict(options, out, proba, keep or [], chunk, force)


def evaluate(
    model: Model,
    data: Data,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="With the truth; without it, as in training."),
    ] = None,
    backend: BackendName = None,
    separator: Separator = None,
    encoding: Encoding = None,
    as_json: Json = False,
) -> int:
    """Measure a saved model on a table, beside a constant prediction.

    The intervals hold 95 % of the bootstrap's draws of the rows.
    """
    from bpnet.cli.predict import Options
    from bpnet.cli.predict import evaluate as run_evaluate

    options = Options(model, data, separator, encoding, backend, as_json)
    return run_evaluate(options, target)


def export(
    model: Model,
    onnx: Annotated[str, typer.Option(metavar="FILE", help="Where to write: an .onnx.")],
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Write a saved model as ONNX, with its preprocessing, to run without bpnet.

    Needs the extra "onnx". Columns of numbers take NaN as a gap, those of categories "".
    """
    from bpnet.cli.export import export as run_export

    return run_export(model, onnx, force, as_json)


def info(model: Model, as_json: Json = False) -> int:
    """Show a saved model: its network, columns and training."""
    from bpnet.cli.model_info import info as run_info

    return run_info(model, as_json)


def diagnose(model: Model, as_json: Json = False) -> int:
    """Show what was wrong with the training of a model, as `train` recorded it.

    Exit status: 0 if nothing was, 1 if something was.
    """
    from bpnet.cli.model_info import diagnosis

    return diagnosis(model, as_json)


def check(as_json: Json = False) -> int:
    """Check the gradients, and that all backends agree, on this machine."""
    from bpnet.cli.check import check as run_check

    return run_check(as_json)


def bench(
    data: Annotated[
        str | None, typer.Argument(metavar="[DATA]", help="A table; without it, an example.")
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="To predict.")] = None,
    backends: Annotated[
        str | None, typer.Option(help="Which, such as numpy,jax; without it, all.")
    ] = None,
    preset: Preset = "td",
    seconds: Annotated[
        float, typer.Option(min=0.0, max=3600.0, help="To measure each backend.")
    ] = 3.0,
    as_json: Json = False,
) -> int:
    """Measure which backend trains faster here, and say which to use."""
    from bpnet.cli.bench import bench as run_bench

    _check_choice("--preset", preset, _PRESETS)
    if (data is None) is not (target is None):
        raise UserError("DATA and --target come together, or neither for an example")
    specs = None if backends is None else [spec.strip() for spec in backends.split(",")]
    return run_bench(data, target, specs, preset, seconds, as_json)


_PRESETS = ("td", "td-s", "plain")
_FUNCTIONS = (train, predict, evaluate, export, info, diagnose, check, bench)


def run(words: Sequence[str]) -> int:
    """Run a command by the words after ``bpnet``; return its exit status.

    A mistake of the user ends in one line on stderr and status 2, a failure in status 1.
    """
    name = f"bpnet {words[0]}" if words and words[0] in COMMANDS else "bpnet"
    try:
        with _application().make_context("bpnet", list(words)) as context:
            return int(context.command.invoke(context) or 0)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except (UserError, BackendError) as error:
        complain(f"{name}: error: {error}")
        return 2
    except (CommandError, MemoryError) as error:
        complain(f"{name}: {error or 'not enough memory'}")
        return 1
    except _wrong_options() as error:
        complain(f"{name}: error: {error.format_message()}")
        return 2


def complete() -> None:
    """Answer the shell what could follow; the words are in its environment variables."""
    _application().main(prog_name="bpnet")


def _application() -> Any:
    """Return the application, as a command of Click."""
    app = typer.Typer(
        name="bpnet", help="Backpropagation on any array library.", no_args_is_help=True,
        pretty_exceptions_enable=False, rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    for function in _FUNCTIONS:
        app.command(function.__name__, short_help=COMMANDS[function.__name__])(function)
    for name in _OTHERS:
        app.command(name)(lambda: None)  # of argparse: only its name is completed
    return typer.main.get_command(app)


def _wrong_options() -> type[Any]:
    """Return the class of all errors of the parser, which Typer does not export."""
    bases: tuple[type[Any], ...] = typer.BadParameter.__mro__
    return next(base for base in bases if base.__name__ == "ClickException")


def _check_choice(option: str, given: str, allowed: tuple[str, ...]) -> None:
    from bpnet.common.suggestions import did_you_mean

    if given not in allowed:
        raise UserError(
            f"argument {option}: must be one of {', '.join(allowed)}, got {given!r}"
            f"{did_you_mean(given, allowed)}"
        )


def _check_finite(option: str, given: float) -> None:
    if not given < float("inf"):
        raise UserError(f"argument {option}: must be a finite number, got {given}")
