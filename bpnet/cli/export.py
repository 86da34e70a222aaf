"""The command ``bpnet export``: a saved model in a format that others run."""

from __future__ import annotations

from bpnet.cli.failures import UserError
from bpnet.cli.model_file import read
from bpnet.cli.new_file import new_file
from bpnet.cli.output import Output


def export(path: str, onnx: str, force: bool, as_json: bool) -> int:
    """Write a model as ONNX, with its preprocessing; return the exit status.

    Raises
    ------
    UserError, OSError
        If an argument is wrong, the format cannot hold the model, or it cannot be written.
    """
    output = Output(as_json)
    new_file("--onnx", onnx, (".onnx",), force)
    model = read(path).model
    try:
        model.to_onnx(onnx)
    except (ValueError, TypeError, ImportError) as error:  # which names the pip line
        raise UserError(str(error)) from error
    output.say(f"written: {onnx}")
    output.document({"onnx": onnx})
    return 0
