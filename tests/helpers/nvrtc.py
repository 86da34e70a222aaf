"""Compile kernels for a Hopper GPU (sm_90) by NVRTC, which needs no GPU.

Where CuPy is installed, the code around a kernel's body and the options are CuPy's own.
"""

from __future__ import annotations

import re

import pytest
import stand_in_cupy

OPTIONS = ("-arch=sm_90", "-ftz=true", "--std=c++17")


def compiled(kernels):
    """Return the PTX of each kernel by its name; they are compiled together, to be quick.

    Parameters
    ----------
    kernels : iterable of tuple of str
        Parameters, results, statements, name and preamble, as CuPy's `ElementwiseKernel` takes
        them.
    """
    header, options, write = _around()
    preambles = dict.fromkeys(preamble for *_, preamble in kernels)
    code = [header, *preambles, *(write(*kernel) for *kernel, _ in kernels)]
    entries = re.split(r"\.visible \.entry ", ptx("\n".join(code), options))[1:]
    return {entry.partition("(")[0]: entry.partition("(")[2] for entry in entries}


def ptx(code, options):
    """Compile a program down to machine code, and return its PTX."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    try:
        error, program = nvrtc.nvrtcCreateProgram(code.encode(), b"kernels.cu", 0, [], [])
    except RuntimeError as absent:  # of cuda-pathfinder: the library is not found
        pytest.skip(f"no NVRTC: {absent}")
    encoded = [option.encode() for option in options]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS, _read(
        nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program
    )
    return _read(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)


def _read(size_of, read, program):
    text = b" " * size_of(program)[1]
    read(program, text)
    return text.decode().rstrip("\0")


def _around():
    """Return a header, options, and what writes the code of a kernel."""
    try:
        from cupy._core import core

        options = core.assemble_cupy_compiler_options(())
    except (ImportError, RuntimeError):  # no CuPy, or no CUDA headers for it
        return "", OPTIONS, _plain
    header = "".join(f"#include <{name}>\n" for name in core._cupy_header_list)
    return header, (*OPTIONS, "--device-as-default-execution-space", *options), _of_cupy


def _plain(in_params, out_params, body, name):
    signature, statements = stand_in_cupy.loop(in_params, out_params, body)
    return (
        f'extern "C" __global__ void {name}(long long n, {signature}) {{\n'
        "long long step = (long long)gridDim.x * blockDim.x;\n"
        "for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {\n"
        f"{statements}\n}}}}\n"
    )


def _of_cupy(in_params, out_params, body, name):
    import cupy
    from cupy._core import _carray, _kernel

    kernel = cupy.ElementwiseKernel(in_params, out_params, body, name)
    array, indexer, scalar = 1, 2, 3  # kinds of arguments

    def argument(parameter):
        dtype = parameter.dtype.type
        if parameter.name.startswith("c"):  # a number
            return _kernel._ArgInfo(scalar, dtype, dtype, 0, True, True)
        return _kernel._ArgInfo(array, cupy.ndarray, dtype, 1, True, True)

    *parameters, _ = kernel.params
    index = _kernel._ArgInfo(indexer, _carray.Indexer, None, 1, True, True)
    return _kernel._get_elementwise_kernel_code(
        (*map(argument, parameters), index), _kernel._TypeMap(()), kernel.params,
        kernel.operation, kernel.name, "",
    )  # fmt: skip
