"""Products of NumPy: the threads that OpenBLAS is asked for, and the bits."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from bpnet_backends.capture import numpy_products
from bpnet_backends.capture.numpy_products import ALWAYS_ONE, SMALL, Products, product
from other_thread import held_by_another_thread

import bpnet
from bpnet import Dense, Network
from bpnet.common.recent import Recent
from bpnet.diagnosis import data_profile, simple_models

THREADS = 8


class Blas:
    """A BLAS whose products note the number of threads before and after."""

    def __init__(self):
        self.threads = THREADS
        self.products = []
        self.during = lambda: None

    def get(self):
        return self.threads

    def put(self, number):
        self.threads = number

    def matmul(self, a, b, *out, **options):
        before = self.threads
        self.during()
        result = np.matmul(a, b, *out, **options)
        self.products.append((a.shape[0] * a.shape[1] * b.shape[1], before, self.threads))
        return result


@pytest.fixture
def blas(monkeypatch):
    found = Blas()
    monkeypatch.setattr(numpy_products, "np", types.SimpleNamespace(matmul=found.matmul))
    monkeypatch.setattr(numpy_products, "PRODUCTS", Products(found.get, found.put))
    return found


def square(n, dtype="float32"):
    return np.ones((n, n), dtype)


def network(*units, **options):
    layers = [Dense(n, "relu") for n in units]
    return Network([*layers, Dense(2)], "categorical_crossentropy", seed=0, **options)


def data(m=512):
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, 2), dtype=np.float32), rng.integers(0, 2, m)


@pytest.mark.parametrize("eagerly", [False, True])
def test_each_small_product_takes_one_thread(blas, eagerly):
    X, y = data()
    net = network(64, 64)
    net.fit(X, y, epochs=3, batch_size=256, run_eagerly=eagerly)
    in_fit = threaded(blas)
    net.predict(X)
    net.evaluate(X, y)
    assert len(in_fit) >= 3 * 2 * 3  # epochs, batches, products of the layer of 64 x 64
    assert len(threaded(blas)) >= len(in_fit) + 2
    assert set(threaded(blas)) == {(1, 1)}
    assert blas.threads == THREADS


def threaded(blas):
    """Return the numbers of threads of products for which OpenBLAS takes several."""
    return [(before, after) for size, before, after in blas.products if size > ALWAYS_ONE]


def test_large_products_take_all_threads(blas):
    X, y = data()
    network(256, 256).fit(X, y, epochs=3, batch_size=256)
    large = [product for product in blas.products if product[0] > SMALL]
    assert len(large) >= 3 * 2 * 3
    assert all(product[1:] == (THREADS, THREADS) for product in large)
    assert blas.threads == THREADS


@pytest.mark.parametrize(
    ("a", "b", "name"),
    [
        ((64, 64), (64, 64), "matmul"),
        ((64, 64), (64, 65), "small"),
        ((256, 64), (64, 128), "small"),
        ((257, 64), (64, 128), "large"),
        ((1, 96), (96, 96), "matmul"),
        ((1, 96), (96, 97), "small"),
        ((96, 97), (97, 1), "small"),
        ((64,), (64, 1000), "matmul"),
        ((2, 64, 64), (64, 64), "matmul"),
        ((0, 64), (64, 64), "matmul"),
    ],
)
def test_the_choice_by_size(blas, a, b, name):
    assert product(np.empty(a), np.empty(b)).__name__ == name


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(numpy_products, "PRODUCTS", None)
    assert product(square(100), square(100)) is np.matmul


def test_an_outer_product_is_that_of_matmul():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 1)).astype("float32"), rng.normal(size=(1, 3)).astype("float32")
    a[0], b[0, 0] = 0.0, -1.0  # a zero that is negative in a product of two numbers
    found = product(a, b)(a, b, np.empty((5, 3), "float32"))
    assert product(a, b) is not np.matmul
    assert found.tobytes() == np.matmul(a, b).tobytes()
    whole = a.astype("int64")
    assert product(whole, b) is np.matmul  # which promotes as the standard says


def test_an_error_restores_the_number(blas):
    with pytest.raises(ValueError, match="matmul"):
        numpy_products.PRODUCTS.small(square(3), square(4))
    assert blas.threads == THREADS
    numpy_products.PRODUCTS.small(square(3), square(3))
    assert blas.products[-1][1:] == (1, 1)


def test_a_product_within_another(blas):
    """As of a signal's handler, which runs between two instructions of any function."""
    products = numpy_products.PRODUCTS

    def within():
        blas.during = lambda: None
        products.small(square(3), square(3))

    blas.during = within
    products.small(square(4), square(4))
    assert blas.products == [(27, 1, 1), (64, 1, 1)]
    assert blas.threads == THREADS


def test_any_function_on_one_thread(blas):
    products = numpy_products.PRODUCTS

    def compute():
        products.small(square(3), square(3))
        products.large(square(4), square(4))
        return blas.threads

    assert bpnet.get_backend("numpy").on_one_thread(compute) == 1
    assert blas.products == [(27, 1, 1), (64, 1, 1)]
    assert blas.threads == THREADS
    with pytest.raises(ZeroDivisionError):
        bpnet.get_backend("numpy").on_one_thread(lambda: 1 / 0)
    assert blas.threads == THREADS
    assert products._changes % 2 == 0


def test_any_function_on_one_thread_of_another_blas(monkeypatch):
    monkeypatch.setattr(numpy_products, "PRODUCTS", None)
    assert bpnet.get_backend("numpy").on_one_thread(lambda: 3) == 3


@pytest.mark.parametrize("backend", ["numpy", "array_api_strict"])
def test_the_diagnosis_fits_its_models_on_one_thread(blas, monkeypatch, backend):
    """With more, they take 50 times as long where other programs compute too."""
    monkeypatch.setattr(data_profile, "_RECENT", Recent(1))  # or they are fitted once
    X, y = bpnet.datasets.make_moons(60, seed=0)
    seen = []
    within_reach = simple_models.within_reach
    monkeypatch.setattr(
        simple_models, "within_reach", lambda *a: seen.append(blas.threads) or within_reach(*a)
    )
    network(4).fit(X, y, epochs=1, backend=backend, callbacks=[bpnet.GradientFlow()])
    assert seen == [1]
    assert blas.threads == THREADS


def test_products_of_several_threads_keep_their_numbers(blas):
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for name in ("small", "large") * 200:
                a = square(3 if name == "small" else 4)
                pool.submit(getattr(numpy_products.PRODUCTS, name), a, a)
    finally:
        sys.setswitchinterval(before)
    assert sorted(blas.products) == [(27, 1, 1)] * 200 + [(64, THREADS, THREADS)] * 200
    assert blas.threads == THREADS


def test_products_on_one_thread_of_the_programs_choice_do_not_wait(blas):
    blas.threads = 1
    with (
        held_by_another_thread(numpy_products.PRODUCTS._lock),
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        for name in ("small", "large"):
            pool.submit(getattr(numpy_products.PRODUCTS, name), square(3), square(3)).result(30)
    assert blas.products == [(27, 1, 1)] * 2
    assert blas.threads == 1


FORK = """
import os, sys, threading
sys.path[:] = {path!r}
import numpy as np
import test_numpy_products as tests
from bpnet_backends.capture.numpy_products import Products

blas, a = tests.Blas(), tests.square(3)
tests.numpy_products.np = tests.types.SimpleNamespace(matmul=blas.matmul)
inside, leave = threading.Event(), threading.Event()
blas.during = lambda: (inside.set(), leave.wait())
products = Products(blas.get, blas.put)
other = threading.Thread(target=products.small, args=(a, a))
other.start()
inside.wait()
child = os.fork()
if child == 0:
    blas.during = lambda: None
    found = [blas.threads]
    products.large(a, a)
    products.small(a, a)
    found += [*blas.products, blas.threads]
    os._exit(found != [8, (27, 8, 8), (27, 1, 1), 8])
leave.set()
other.join()
assert os.waitpid(child, 0)[1] == 0
assert blas.threads == 8
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_during_a_product_of_another_thread():
    run(FORK.format(path=sys.path), options=["-W", "ignore::DeprecationWarning"])


def run(program, threads="2", options=()):
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        env=os.environ | {"OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


# --- the real library -------------------------------------------------------------------------

TRAIN = """
import hashlib, sys
sys.path[:] = {path!r}
import test_numpy_products as tests
X, y = tests.data()
net = tests.network(64, 64)
net.fit(X, y, epochs=2, batch_size=256, run_eagerly={eagerly})
print(hashlib.sha256(net.predict_proba(X).tobytes()).hexdigest())
"""


def has_openblas():
    blas = np.show_config("dicts")["Build Dependencies"]["blas"]["name"]
    return blas == "scipy-openblas"


@pytest.mark.skipif(not has_openblas(), reason="this NumPy has another BLAS")
def test_numpys_openblas_is_found_and_restored():
    products = numpy_products.openblas()
    assert products is not None
    before = products._get()
    try:
        products._put(2)
        products.small(square(100), square(100))
        assert products._get() == 2
    finally:
        products._put(before)


@pytest.mark.skipif(not has_openblas(), reason="this NumPy has another BLAS")
def test_the_bits_depend_neither_on_the_number_of_threads_nor_on_replaying():
    bits = {
        run(TRAIN.format(path=sys.path, eagerly=eagerly), threads)
        for threads in ("1", "2")
        for eagerly in (False, True)
    }
    assert len(bits) == 1


def test_numbers_and_lists_multiply_as_in_numpy():
    xp = bpnet.get_backend("numpy").xp
    assert xp.matmul([[1.0, 2.0]], [[3.0], [4.0]]) == [[11.0]]
    out = np.empty((3, 3))
    assert xp.matmul(square(3), square(3), out=out) is out
