#!/usr/bin/env bash
# Tests and benchmarks bpnet on a machine with a CUDA GPU; installs nothing.
#
#   benchmarks/gpu.sh [OPTION ...]     options and sections of `python -m benchmarks`
#
# Runs the tests on every available backend, the parity checks in float64 and float32, and the
# benchmarks without TF32. Output and results go to benchmarks/results/gpu-DEVICE-DATE.txt and
# .json. The exit status is 1 if a backend is unavailable or anything fails; later stages still
# run after a failure.
#
# BACKENDS  the backends to require and measure (default: cupy torch:cuda:0 jax:gpu:0).
#           BACKENDS="numpy torch:cpu jax:cpu" runs the same stages without a GPU.
# PYTHON    the interpreter (default: python).
# PYTEST_ADDOPTS  further options for pytest, such as "-k test_backends".
set -euo pipefail
cd "$(dirname "$0")/.."

needed='pip install -e ".[dev,cuda12,graphs]" "jax[cuda12]", and a CUDA build of torch'

python=${PYTHON:-python}
read -ra backends <<<"${BACKENDS:-cupy torch:cuda:0 jax:gpu:0}"
export XLA_PYTHON_CLIENT_PREALLOCATE=false # the libraries share the GPU

if ! device=$("$python" -m benchmarks.preflight "${backends[@]}"); then
    echo "gpu.sh: nothing was run. With CUDA 12 and its driver, it needs: $needed" >&2
    exit 1
fi

kind=gpu
[[ "${backends[*]}" =~ cuda|gpu|cupy ]] || kind=cpu
results=benchmarks/results/$kind-$device-$(date +%F)
mkdir -p benchmarks/results
: >"$results.txt"
failed=()

# Runs a command under a title and records whether it failed.
stage() {
    local title=$1
    shift
    printf '=== %s: %s\n' "$title" "$*" | tee -a "$results.txt"
    "$@" 2>&1 | tee -a "$results.txt" || failed+=("$title")
}

if command -v nvidia-smi >/dev/null; then
    stage GPU nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
fi
# -rs: list skipped tests, with the reason.
stage tests "$python" -m pytest -q -rs
for dtype in float64 float32; do
    stage "parity in $dtype" "$python" -m bpnet parity --dtype "$dtype" \
        --backends "$(IFS=,; echo "${backends[*]}")"
done
stage benchmarks "$python" -m benchmarks "$@" \
    --backends "${backends[@]}" --json "$results.json"

if ((${#failed[@]})); then
    printf 'gpu.sh: failed: %s\n' "${failed[@]}" | tee -a "$results.txt" >&2
    exit 1
fi
echo "gpu.sh: all passed; results in $results.txt and $results.json" | tee -a "$results.txt"
