"""Measures: values computed by hand, and sums that do not depend on the grouping of texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numerics.budgets import Budget
from parity_tests.checks.compare import Array, Measures, ulp_histogram

pytestmark = pytest.mark.quick

BUDGET = Budget(1e-5, 0.0, "")
FLOATS = hnp.arrays(np.float32, 8, elements=st.floats(-100, 100, width=32, allow_subnormal=False))


def test_signal_to_noise_in_decibels() -> None:
    python = np.full(10, 2.0, np.float32)
    found = Measures.between(python + np.float32(0.5), python, BUDGET)
    assert found.snr == pytest.approx(20 * np.log10(4))
    assert Measures.between(python, python, BUDGET).snr is None


def test_integers_have_no_distance_in_units_in_the_last_place() -> None:
    ids = np.arange(3, dtype=np.int32)
    assert Measures.between(ids, ids, BUDGET).ulps == ()


def test_neighbouring_floats_are_one_ulp_apart() -> None:
    values = np.array([1, 2, -1, 0, np.float32(2**-126), 1e30], np.float32)
    up = np.nextafter(values, np.float32(np.inf))
    assert ulp_histogram(up, values)[:3] == (0, 6, 0)


def single(value: float) -> Array:
    return np.array([value], np.float32)


def test_opposite_signs_are_far_apart_but_both_zeros_are_equal() -> None:
    assert ulp_histogram(single(-0.0), single(0.0))[0] == 1
    assert ulp_histogram(single(-1.0), single(1.0))[31] == 1


@given(FLOATS, FLOATS)
def test_the_measures_of_two_halves_add_up(node: Array, python: Array) -> None:
    whole = Measures.between(node, python, BUDGET)
    halves = Measures.between(node[:3], python[:3], BUDGET) + Measures.between(
        node[3:], python[3:], BUDGET
    )
    assert halves.ulps == whole.ulps
    assert sum(whole.ulps) == whole.compared == 8
    assert halves.max_abs == whole.max_abs
    assert halves.squares == pytest.approx(whole.squares)
