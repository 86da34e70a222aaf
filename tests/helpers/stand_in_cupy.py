"""CPU stand-ins for the parts of CuPy and nvmath-python that bpnet's backend uses.

Arrays are NumPy's. During stream capture nothing runs: calls are recorded, and run when the
graph is launched; products are refused, as CuPy refuses them. Products in TensorFloat-32 round
their factors, so that results tell how they were computed. Kernels are compiled by the local
C++ compiler from the same code that a GPU would get.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import functools
import math
import os
import shutil
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import array_api_compat.numpy
import numpy as np
import pytest
from bpnet_backends.capture.kernel_fusion import TYPES

COMPILER = shutil.which("g++")


class NdArray(np.ndarray):
    """An array whose `data` has a pointer, like CuPy's."""

    __module__ = "numpy"  # bpnet treats it as a host array

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


def owned(result):
    """Return arrays and NumPy scalars as arrays of the stand-in."""
    is_array = isinstance(result, np.ndarray | np.generic)
    return np.asarray(result).view(NdArray) if is_array else result


class Stream:
    """A stream whose capture collects launches in a graph."""

    captured = None
    ptr = 7
    order = ()  # of waiting and launching

    def __init__(self, non_blocking=False):
        assert non_blocking  # required for capture

    def __enter__(self):
        self.before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *error):
        Stream.current = self.before

    def begin_capture(self):
        Stream.captured = []

    def end_capture(self):
        calls, Stream.captured = Stream.captured, None
        return Graph(calls)

    def record(self):
        return self

    def wait_event(self, event):
        Stream.order += ((self, event),)


Stream.null, Stream.ptds = Stream(non_blocking=True), Stream(non_blocking=True)
Stream.current = Stream.null


class Graph:
    def __init__(self, calls):
        self.calls = calls

    def launch(self, stream):
        assert Stream.captured is None
        Stream.order += (stream,)
        for call in self.calls:
            call()


def called(name, *arguments, **options):
    """Called for each call of a function, for tests to replace."""


def launched(function):
    """Make a function run, or be captured."""

    @functools.wraps(function)
    def launch(*arguments, **options):
        called(function.__name__, *arguments, **options)
        call = functools.partial(function, *arguments, **options)
        if Stream.captured is None:
            return owned(call())
        Stream.captured.append(call)
        return options.get("out")

    return launch


def matmul(a, b, out=None):
    if Stream.captured is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture")
    is_fast = Linalg.get_compute_type(a.dtype) == Linalg.COMPUTE_TYPE_TF32
    a, b = (as_tf32(x) if is_fast else x for x in (a, b))
    return owned(np.matmul(a, b, out=out))


def as_tf32(x):
    """Round float32 to 10 bits of mantissa; leave other dtypes alone."""
    if x.dtype != np.float32:
        return x
    bits = np.array(x, order="K", subok=False).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


class Linalg:
    """The settings of `cupy._core._routines_linalg`, which are the process's."""

    COMPUTE_TYPE_TBD, COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_PEDANTIC = 0, 1, 2
    COMPUTE_TYPE_FP32, COMPUTE_TYPE_TF32 = 4, 7
    chosen = {}  # noqa: RUF012

    @classmethod
    def get_compute_type(cls, dtype):
        name = np.dtype(dtype).name
        if cls.chosen.get(name, cls.COMPUTE_TYPE_TBD) == cls.COMPUTE_TYPE_TBD:
            is_fast = name == "float32" and int(os.environ.get("CUPY_TF32", "0")) > 0
            kind = cls.COMPUTE_TYPE_TF32 if is_fast else cls.COMPUTE_TYPE_DEFAULT
            cls.set_compute_type(dtype, kind)
        return cls.chosen[name]

    @classmethod
    def set_compute_type(cls, dtype, kind):
        """Set a type; CuPy warns of TensorFloat-32 on GPUs without it."""
        assert kind != cls.COMPUTE_TYPE_TF32 or int(Device.compute_capability) >= 80
        cls.chosen[np.dtype(dtype).name] = kind


class ElementwiseKernel:
    """A kernel compiled as a C++ loop."""

    made = ()

    def __init__(self, in_params, out_params, operation, name, preamble=""):
        self.code = (in_params, out_params, operation, name, preamble)
        ElementwiseKernel.made += (self,)
        self.dtypes = [p.split()[-2] for p in in_params.split(", ")]
        self.n_outputs = len(out_params.split(", "))
        signature, body = loop(in_params, out_params, operation)
        self.function = compiled(
            f"{HEADER}\n{preamble}\n"
            f'extern "C" void run(long n, {signature}) {{\n'
            f"for (long i = 0; i < n; i++) {{\n{body}\n}}}}\n"
        )

    @launched
    def __call__(self, *arguments):
        inputs, outputs = arguments[: -self.n_outputs], arguments[-self.n_outputs :]
        shape = np.broadcast_shapes(*(x.shape for x in arguments if isinstance(x, np.ndarray)))
        wide = [
            np.array(np.broadcast_to(x, shape), dtype, order="C")
            for x, dtype in zip(inputs, self.dtypes, strict=False)
        ]
        assert all(out.flags.c_contiguous for out in outputs)
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*wide, *outputs)]
        self.function(ctypes.c_long(math.prod(shape)), *pointers)


def loop(in_params, out_params, operation):
    """Return the parameters of a C function, and the statements for its element i."""
    types = TYPES | {"uint8": "unsigned char", "uint64": "unsigned long long"}
    parameters = [p.split() for p in f"{in_params}, {out_params}".split(", ")]
    signature = ", ".join(f"{types[dtype]}* p_{p}" for *_, dtype, p in parameters)
    elements = [
        f"{types[dtype]}{'*' if raw else '&'} {p} = p_{p}{'' if raw else '[i]'};"
        for *raw, dtype, p in parameters
    ]
    return signature, "\n".join([*elements, operation])


HEADER = """#include <cmath>
#define __device__
#define __fadd_rn(a, b) ((a) + (b))
#define __fsub_rn(a, b) ((a) - (b))
#define __fmul_rn(a, b) ((a) * (b))
#define __dadd_rn(a, b) ((a) + (b))
#define __dsub_rn(a, b) ((a) - (b))
#define __dmul_rn(a, b) ((a) * (b))
using namespace std;"""


@functools.cache
def compiled(code):
    folder = Path(tempfile.mkdtemp())
    (folder / "kernel.cpp").write_text(code)
    command = [COMPILER, "-O1", "-ffp-contract=off", "-shared", "-fPIC", "kernel.cpp", "-o"]
    subprocess.run([*command, "kernel.so"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "kernel.so"))
    shutil.rmtree(folder)
    return library.run


# --- cuBLAS -----------------------------------------------------------------------------------


class Operation(enum.IntEnum):
    N, T = 0, 1


class ComputeType(enum.IntEnum):
    COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77


class GemmAlgo(enum.IntEnum):
    DEFAULT, DEFAULT_TENSOR_OP = -1, 99


class CudaDataType(enum.IntEnum):
    CUDA_R_32F, CUDA_R_64F = 0, 1


@launched
def gemm_ex(
    handle, op_a, op_b, m, n, k, alpha, a, a_kind, lda, b, b_kind, ldb, beta, c, c_kind, ldc,
    compute_type, algorithm,
):  # fmt: skip
    """Multiply in Fortran order, like cuBLAS."""
    assert a_kind == b_kind == c_kind
    assert compute_type in ((68, 77), (70,))[a_kind]
    assert algorithm == (99 if int(Device.compute_capability) >= 80 else -1)
    dtype = (np.float32, np.float64)[a_kind]

    def matrix(pointer, rows, columns, ld):
        assert ld >= rows
        size = ld * columns * np.dtype(dtype).itemsize
        flat = np.frombuffer((ctypes.c_char * size).from_address(pointer), dtype)
        return flat.reshape(columns, ld)[:, :rows].T

    assert (matrix(alpha, 1, 1, 1), matrix(beta, 1, 1, 1)) == (1, 0)
    A = matrix(a, k, m, lda).T if op_a == Operation.T else matrix(a, m, k, lda)
    B = matrix(b, n, k, ldb).T if op_b == Operation.T else matrix(b, k, n, ldb)
    if compute_type == ComputeType.COMPUTE_32F_FAST_TF32:
        A, B = as_tf32(A), as_tf32(B)
    matrix(c, m, n, ldc)[...] = np.matmul(B.T, A.T).T


def cublas():
    """Return a stand-in for `nvmath.bindings.cublas`."""
    module = types.ModuleType("nvmath.bindings.cublas")
    vars(module).update(
        Operation=Operation, ComputeType=ComputeType, GemmAlgo=GemmAlgo, gemm_ex=gemm_ex,
        create=lambda: 1, destroy=lambda handle: None,
        set_stream=check_stream, set_workspace=check_workspace,
    )  # fmt: skip
    return module


def check_stream(handle, stream):
    assert (handle, stream) == (1, Stream.ptr)


def check_workspace(handle, pointer, size):
    assert handle == 1
    assert pointer
    assert size == (32 if int(Device.compute_capability) >= 90 else 4) * 2**20


class Device:
    """The only GPU, a Hopper."""

    compute_capability = "90"
    id = 0

    def __init__(self, number=0):
        assert number == 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


# --- modules ----------------------------------------------------------------------------------


def cupy():
    """Return a stand-in for the package `cupy`."""
    module = types.ModuleType("cupy")
    for name in dir(np):
        function = getattr(np, name)
        if callable(function) and not isinstance(function, type):
            setattr(module, name, launched(function))
    module.ndarray, module.__version__ = NdArray, np.__version__
    module.matmul, module.ElementwiseKernel = matmul, ElementwiseKernel
    module.take = launched(lambda *a, **options: np.take(*a, **options, mode="clip"))
    module.asnumpy = np.asarray
    module.fuse = lambda kernel_name: lambda rule: rule
    nothing = contextlib.nullcontext()
    module.cuda = types.SimpleNamespace(
        Stream=Stream,
        Device=Device,
        MemoryPool=lambda: types.SimpleNamespace(malloc=None),
        get_current_stream=lambda: Stream.current,
        using_allocator=lambda allocator: nothing,
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1, getDevice=lambda: 0, memGetInfo=lambda: (2**30, 2**31)
        ),
    )
    module.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)
    return module


def namespace():
    """Return a stand-in for `array_api_compat.cupy`."""
    module = types.ModuleType("array_api_compat.cupy")
    for name in dir(array_api_compat.numpy):
        attribute = getattr(array_api_compat.numpy, name)
        is_function = callable(attribute) and not isinstance(attribute, type)
        setattr(module, name, launched(attribute) if is_function else attribute)
    module.matmul = matmul
    return module


@contextlib.contextmanager
def installed(nvmath=True):
    """Yield bpnet's backend class for CuPy, on the stand-ins, whatever else is installed."""
    if COMPILER is None:
        pytest.skip("no C++ compiler (g++) for kernels")
    Linalg.chosen = {}
    core = types.ModuleType("cupy._core")
    core._routines_linalg = Linalg
    bindings, package = types.ModuleType("nvmath.bindings"), types.ModuleType("nvmath")
    package.CudaDataType = CudaDataType
    modules = {
        "cupy": cupy(), "cupy._core": core, "array_api_compat.cupy": namespace(),
        "nvmath": package, "nvmath.bindings": bindings,
        "nvmath.bindings.cublas": cublas() if nvmath else None,
        **dict.fromkeys(OURS),  # imported anew
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        for name, module in modules.items():
            stack.enter_context(replaced(name, module))
        from bpnet_backends.cupy import CupyBackend

        yield CupyBackend


OURS = [
    f"bpnet_backends.{name}"
    for name in ("cupy", "_cupy_namespace", "capture.cupy_ops", "capture.cublas")
]


@contextlib.contextmanager
def replaced(name, module):
    """Replace or remove a module, in `sys.modules` and in its package, where imports look."""
    package, _, attribute = name.rpartition(".")
    owner = vars(sys.modules.get(package, types.ModuleType(package)))
    places = [(sys.modules, name), *([(owner, attribute)] if package else [])]
    before = [place.get(key) for place, key in places]
    for place, key in places:
        place.pop(key, None)
        if module is not None:
            place[key] = module
    try:
        yield
    finally:
        for (place, key), value in zip(places, before, strict=True):
            place.pop(key, None)
            if value is not None:
                place[key] = value
