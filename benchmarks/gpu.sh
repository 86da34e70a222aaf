#!/usr/bin/env bash
# Tells in less than ten minutes how bpnet runs on a machine with a CUDA GPU, without a network.
#
#   benchmarks/gpu.sh
#
# The most telling stage comes first, none takes longer than its limit, and every answer is
# written when it is known, so a run that is cut short is of use, too:
#   facts   the device, versions of all libraries, and which backends work
#   first   are replayed steps the bits of eager ones; microseconds per step beside peers
#   parity  every quantity of a step beside NumPy's, in float64 and float32
#   tests   the tests of the first backend
#   step, epoch   sections of `python -m benchmarks`, from small networks to large ones
# The exit status is 1 if a backend is unavailable or a stage fails; later stages still run.
#
# OUT       folder of the results (default: benchmarks/results/DEVICE-DATE): log.txt,
#           first.jsonl, and a JSON file for each section.
# BACKENDS  default: "cupy torch:cuda:0 jax:gpu:0". "torch:cpu jax:cpu" tries it without a GPU.
# STAGES    a pattern of the stages to run, such as "first|parity" (default: all).
# TOTAL     seconds that all stages may take (default: 530).
# WHEELS    a folder of wheels that the machine lacks, such as setuptools (77 or later, which
#           installs bpnet), array-api-compat, nvmath-python, pytest-xdist and hypothesis; they
#           are used for this run alone.
# NETWORKS, ROUNDS  of the benchmarks (default: "small middle large", 3).
# TESTS     an expression that chooses tests (default: the name of the first backend).
# WORKERS   processes that run the tests (default: 8).
# PYTHON    the interpreter (default: python).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

needed='pip install -e ".[test,graphs,cuda13]" "jax[cuda13]", and a CUDA build of torch
(for CUDA 12: the extra cuda12 and "jax[cuda12]")'

python=${PYTHON:-python}
read -ra backends <<<"${BACKENDS:-cupy torch:cuda:0 jax:gpu:0}"
read -ra networks <<<"${NETWORKS:-small middle large}"
end=$((SECONDS + ${TOTAL:-530}))
failed=()
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONUNBUFFERED=1
export XLA_PYTHON_CLIENT_PREALLOCATE=false # the libraries share the GPU

install() {
    "$python" -m pip install --quiet --no-index --no-deps --no-build-isolation \
        --disable-pip-version-check "$@"
}
if [[ -n ${WHEELS:-} ]]; then
    install --target "$scratch/site" "$WHEELS"/*.whl || exit 1
    export PYTHONPATH=$scratch/site${PYTHONPATH:+:$PYTHONPATH}
fi
if ! "$python" -P -c "import bpnet_backends" 2>/dev/null; then
    if ! install --editable .; then
        echo "gpu.sh: bpnet cannot be installed; is there a setuptools of 77 or later?" >&2
        exit 1
    fi
fi

# Prints the device, then the backends that work; says on standard error why others do not.
if ! found=$("$python" -m benchmarks.preflight "${backends[@]}"); then
    echo "gpu.sh: nothing was run. It needs: $needed" >&2
    exit 1
fi
read -r device <<<"$found"
mapfile -t working < <(tail -n +2 <<<"$found")
((${#working[@]} == ${#backends[@]})) || failed+=("some backends")
out=${OUT:-benchmarks/results/$device-$(date +%F)}
mkdir -p "$out"

say() { echo "[$SECONDS s] $*" | tee -a "$out/log.txt"; }

# stage NAME SECONDS COMMAND...: run a command for at most so long, or for what is left
stage() {
    local name=$1 limit=$2 left=$((end - SECONDS))
    shift 2
    [[ $name =~ ${STAGES:-.} ]] || return
    if ((left < 10)); then
        say "$name: no time left"
        failed+=("$name")
        return
    fi
    ((limit > left)) && limit=$left
    say "=== $name, at most $limit s: $*"
    # An interrupt lets pytest list what has failed so far.
    timeout --signal=INT --kill-after=10 "$limit" "$@" 2>&1 | tee -a "$out/log.txt"
    local status=${PIPESTATUS[0]}
    ((status == 0)) || failed+=("$name")
    say "$name: exit status $status"
}

say "bpnet on $device: ${working[*]}"
command -v nvidia-smi >/dev/null &&
    stage facts 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
stage facts 60 "$python" -c 'from benchmarks import __main__ as m, machine
print("\n".join(f"{name}: {value}" for name, value in machine.facts(*m.PACKAGES).items()))'
stage first 150 env NVIDIA_TF32_OVERRIDE=0 JAX_DEFAULT_MATMUL_PRECISION=highest \
    "$python" -m benchmarks.first_contact "$out/first.jsonl" "${working[@]}" \
    --networks "${networks[@]}"
for dtype in float64 float32; do
    stage parity 60 "$python" -m bpnet parity --dtype "$dtype" \
        --backends "$(IFS=, && echo "${working[*]}")"
done
stage tests 150 "$python" -m pytest --full -q -rfE -p no:cacheprovider --maxfail=50 \
    -n "${WORKERS:-8}" --maxprocesses=16 -k "${TESTS:-${working[0]%%:*}}" tests
for section in step epoch; do
    stage "$section" 100 "$python" -m benchmarks "$section" --networks "${networks[@]}" \
        --rounds "${ROUNDS:-3}" --backends "${working[@]}" --json "$out/$section.json"
done

if ((${#failed[@]})); then
    say "failed: ${failed[*]}"
    exit 1
fi
say "all passed; results in $out"
