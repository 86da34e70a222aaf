"""Values of an estimator as plain data and tensors of a model file, and back.

What :mod:`bpnet.serialization.config` describes (numbers, strings, components), and arrays of
any dtype but dates, dicts with any keys, bytes, the history of a run, random states and built
networks. Arrays of numbers are tensors of the file, in float64 if they are neither that nor
float32, and exactly so; all others are lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bpnet.backend.registry import backend_of
from bpnet.backend.transfer import to_host
from bpnet.common.checks import check_integer, check_number
from bpnet.common.component import Component
from bpnet.common.history import History
from bpnet.network import Network
from bpnet.serialization.config import Custom, argument, describe, short
from bpnet.serialization.model_state import document, restored, weights
from bpnet.serialization.safetensors_file import Tensors

# Integers up to this are exact in float64.
_EXACT = 2**53
# Characters of an array of text, of which a file may declare more than it holds.
_TEXT_LIMIT = 2**22
_NUMBERS = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip

Plain = Any


# --- writing ------------------------------------------------------------------------------


def pack(value: Any, tensors: Tensors, name: str) -> Plain:
    """Return a value as JSON-serializable data; its arrays are added to the tensors.

    Parameters
    ----------
    value : object
        The value, which may be nested in lists, tuples and dicts.
    tensors : dict of str to numpy.ndarray
        The tensors of the file, to which arrays are added.
    name : str
        What the names of its tensors begin with.

    Raises
    ------
    TypeError
        If a file cannot hold it, which then says why.
    """
    if isinstance(value, Network):
        return {"network": _network(value, tensors, name)}
    if backend_of(value=value) is not None:
        value = to_host(value)
    if isinstance(value, np.ndarray):
        return _array(value, tensors, name)
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, np.random.RandomState):
        return {"random_state": pack(_random_state(value), tensors, name)}
    if isinstance(value, History):
        return {"history": pack(_history(value), tensors, name)}
    if isinstance(value, list) and value and all(type(part) is float for part in value):
        tensors[name] = np.asarray(value)
        return {"floats": name}
    if isinstance(value, list):
        return [pack(part, tensors, name) for name, part in _named(name, value)]
    if isinstance(value, tuple):
        return {"tuple": [pack(part, tensors, name) for name, part in _named(name, value)]}
    if isinstance(value, dict):
        return _dict(value, tensors, name)
    if isinstance(value, type | Component) or callable(value):
        return describe(value)
    return _scalar(value)


def _named(name: str, parts: Any) -> Iterator[tuple[str, Any]]:
    return ((f"{name}.{number}", part) for number, part in enumerate(parts))


def _scalar(value: Any) -> Plain:
    """Return a number, a string or None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(
        f"a model file holds numbers, strings, bytes, arrays and components, because it "
        f"contains no code; got {value!r} ({type(value).__name__})"
    )


def _dict(value: dict[Any, Any], tensors: Tensors, name: str) -> Plain:
    """Return a dict, as pairs if not all keys are strings."""
    if not all(type(key) is str for key in value):
        pairs = [list(pair) for pair in value.items()]
        return {"pairs": [pack(pair, tensors, at) for at, pair in _named(name, pairs)]}
    packed = {}
    for number, (key, part) in enumerate(value.items()):
        plain = key.isascii() and key.isidentifier()
        packed[key] = pack(part, tensors, f"{name}.{key if plain else number}")
    return {"dict": packed}


def _array(array: Any, tensors: Tensors, name: str) -> Plain:
    dtype = array.dtype.name
    if dtype in _NUMBERS and (exact := _as_float(array)) is not None:
        tensors[name] = exact
        return {"array": name} | ({} if exact.dtype == array.dtype else {"dtype": dtype})
    kind, width = array.dtype.kind, _width(array.dtype)
    if kind not in "iuOUS":
        raise TypeError(
            f"a model file holds arrays of numbers, strings and Python objects; got one of "
            f"dtype {array.dtype}"
        )
    values = [_scalar(value) for value in array.reshape(-1).tolist()]
    if kind in "US" and width * len(values) > _TEXT_LIMIT:
        width = max(map(len, array.reshape(-1).tolist()))
    dtype = f"{kind}{width}" if kind in "US" else dtype
    return {"values": values, "shape": list(array.shape), "dtype": dtype}


def _as_float(array: Any) -> Any:
    """Return an array of numbers in a dtype of model files, or None if it is not exact."""
    if array.dtype.name in ("float32", "float64"):
        return array
    if array.dtype.kind in "iu" and array.size and not _is_exact(array):
        return None
    return array.astype("float64")


def _is_exact(array: Any) -> bool:
    return int(array.min()) >= -_EXACT and int(array.max()) <= _EXACT


def _width(dtype: Any) -> int:
    """Return the characters of an element of text or bytes."""
    return int(dtype.itemsize) // (4 if dtype.kind == "U" else 1)


def _random_state(value: np.random.RandomState) -> Any:
    state: Any = value.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise TypeError(
            f"a model file holds random states of the bit generator MT19937, which is the "
            f"default; got {state['bit_generator']}"
        )
    return [
        state["state"]["key"], int(state["state"]["pos"]), int(state["has_gauss"]),
        float(state["gauss"]),
    ]  # fmt: skip


def _history(value: History) -> Any:
    parts = {
        "metrics": value.history, "stopped": value.stopped, "best_epoch": value.best_epoch,
        "seconds": float(value.seconds),
    }  # fmt: skip
    if value.facts is None:
        return parts
    from bpnet.diagnosis.profile_file import described

    return parts | {"facts": described(value.facts)}


def _network(network: Network, tensors: Tensors, name: str) -> Plain:
    tensors |= {f"{name}.{key}": tensor for key, tensor in weights(network).items()}
    return {"tensors": name, **document(network)}


# --- reading ------------------------------------------------------------------------------


def unpack(value: Plain, tensors: Tensors, custom: Custom) -> Any:
    """Return a value from its :func:`pack`, taking its tensors.

    Raises
    ------
    ValueError, TypeError, LookupError
        If it is malformed.
    """
    if isinstance(value, list):
        return [unpack(part, tensors, custom) for part in value]
    if not isinstance(value, dict):
        return value
    if "class" in value:
        return argument(value, custom)
    if "array" in value:
        return _unpacked_numbers(tensors, **value)
    if "values" in value:
        return _unpacked_values(tensors, custom, **value)
    ((kind, content),) = value.items()
    if kind == "network":
        return _unpacked_network(content, tensors, custom)
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "floats":
        return _vector(tensors, content)
    if kind == "dict":
        return {key: unpack(part, tensors, custom) for key, part in content.items()}
    parts = unpack(content, tensors, custom)
    match kind:
        case "tuple":
            return tuple(parts)
        case "pairs":
            return dict(parts)
        case "random_state":
            return _unpacked_random_state(*parts)
        case "history":
            return _unpacked_history(**parts)
    raise ValueError(f"a value is malformed: {short(value)}")


def _vector(tensors: Tensors, name: Any) -> list[float]:
    tensor = tensors.pop(name)
    if tensor.ndim != 1 or tensor.dtype != "float64":
        raise ValueError(f"tensor {short(name)} must be 1-D in float64")
    return tensor.tolist()  # type: ignore[no-any-return]


def _unpacked_numbers(tensors: Tensors, array: Any, dtype: Any = None) -> Any:
    tensor = tensors.pop(array)
    if dtype is None:
        return tensor
    if dtype not in _NUMBERS or tensor.dtype != "float64":
        raise ValueError(f"tensor {short(array)} cannot be of dtype {short(dtype)}")
    with np.errstate(all="ignore"):
        cast = tensor.astype(dtype)
        is_same = np.array_equal(cast.astype("float64"), tensor, equal_nan=True)
    if not is_same:
        raise ValueError(f"tensor {short(array)} does not hold numbers of dtype {dtype}")
    return cast


def _unpacked_values(
    tensors: Tensors, custom: Custom, values: Any, shape: Any, dtype: Any
) -> Any:
    found = [unpack(value, tensors, custom) for value in values]
    flat = np.empty(len(found), dtype=object)
    flat[:] = found
    kind = dtype[:1]
    if kind in ("U", "S"):
        width = check_integer("the width of an array", int(dtype[1:]), 0)
        wanted = str if kind == "U" else bytes
        longest = max((len(part) for part in found), default=0)
        if not all(type(part) is wanted for part in found) or longest > width:
            raise ValueError(f"an array of {wanted.__name__} is malformed")
        if width * len(found) > max(_TEXT_LIMIT, longest * len(found)):
            raise ValueError(f"an array of dtype {short(dtype)} is too large")
        flat = flat.astype(f"{kind}{width}")
    elif dtype in ("int64", "uint64"):
        if not all(type(part) is int for part in found):
            raise ValueError(f"an array of {dtype} must hold integers")
        flat = np.array(found, dtype=dtype)
    elif dtype != "object":
        raise ValueError(f"there is no array of dtype {short(dtype)} in a file")
    return flat.reshape(shape)


def _unpacked_random_state(
    key: Any, pos: Any, has_gauss: Any, gauss: Any
) -> np.random.RandomState:
    is_key = isinstance(key, np.ndarray) and (key.shape, key.dtype) == ((624,), np.uint32)
    if not is_key or pos not in range(625) or has_gauss not in (0, 1):
        raise ValueError("a random state is malformed")
    found = np.random.RandomState()
    found.set_state(("MT19937", key, int(pos), int(has_gauss), check_number("gauss", gauss)))
    return found


def _unpacked_history(
    metrics: Any, stopped: Any, best_epoch: Any, seconds: Any, facts: Any = None
) -> History:
    history = History()
    for name, values in metrics.items():
        if not isinstance(values, list) or not all(type(value) is float for value in values):
            raise ValueError(f"the metric {short(name)} is malformed")
    if not isinstance(stopped, str | None):
        raise ValueError("the reason why it stopped is malformed")
    history.history, history.stopped = metrics, stopped
    if best_epoch is not None:
        history.best_epoch = check_integer("best_epoch", best_epoch, 1)
    history.seconds = check_number("seconds", seconds, 0.0)
    if facts is not None:
        from bpnet.diagnosis.profile_file import profile_from

        history.facts = profile_from(facts)
    return history


def _unpacked_network(content: dict[str, Any], tensors: Tensors, custom: Custom) -> Network:
    prefix = f"{content['tensors']}."
    own = {
        name.removeprefix(prefix): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(f"{prefix}layers.")
    }
    network = restored(content, own, Network, custom)
    if own:
        raise ValueError(f"it holds an unexpected tensor {short(prefix + min(own))}")
    return network
