"""The comparison finds each kind of difference, and passes what is within the budget."""

import math

import numpy as np
import pytest

from numerics.budgets import Budget
from parity_tests.checks.budgets import EXACT
from parity_tests.checks.compare import Array, Measures, compare_arrays, compare_names

pytestmark = pytest.mark.quick

ATOL = float(np.float32(1e-5))
BUDGET = Budget(ATOL, 0.0, "a test's")
RELATIVE = Budget(0.0, 2.0**-10, "a test's")


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def check(node: Array, python: Array, budget: Budget = BUDGET) -> str | None:
    problem = compare_arrays(node, python, budget, "here").problem
    return problem.check if problem else None


def test_equal_arrays_pass() -> None:
    assert check(floats(1, 2), floats(1, 2)) is None
    assert check(floats(1, 2), floats(1, 2), EXACT) is None


def test_the_budget_itself_passes_and_one_ulp_more_fails() -> None:
    at = np.float32(ATOL)
    over = np.nextafter(at, np.float32(1))
    for sign in (1, -1):
        assert check(floats(sign * float(at)), floats(0)) is None
        assert check(floats(sign * float(over)), floats(0)) == "values"


def test_the_relative_tolerance_depends_only_on_pythons_value() -> None:
    assert check(floats(1025), floats(1024), RELATIVE) is None
    assert check(np.nextafter(floats(1025), floats(2000)), floats(1024), RELATIVE) == "values"
    # The rule is not symmetric: 1/1024 of 1024 is allowed, 1/1024 of 1023 is not 1.
    assert check(floats(1024), floats(1023), RELATIVE) == "values"


def test_one_ulp_fails_where_values_must_be_equal() -> None:
    assert check(np.nextafter(floats(1), floats(2)), floats(1), EXACT) == "values"
    assert check(np.array([2], np.int32), np.array([1], np.int32), EXACT) == "values"


@pytest.mark.parametrize("node", [math.nan, math.inf, -math.inf, 0.0])
@pytest.mark.parametrize("python", [math.nan, math.inf, -math.inf, 0.0])
def test_values_that_are_not_finite_fail_on_either_side_and_on_both(
    node: float, python: float
) -> None:
    expected = None if node == python == 0.0 else "finite"
    assert check(floats(1, node), floats(1, python)) == expected
    lenient = Budget(1e30, 1e30, "a test's")
    assert check(floats(1, node), floats(1, python), lenient) == expected


def test_dtype_is_checked_before_values() -> None:
    assert check(np.array([1.0]), floats(1)) == "dtype"
    assert check(np.array([1], np.int64), np.array([1], np.int32), EXACT) == "dtype"


def test_shape_is_checked_and_nothing_is_broadcast() -> None:
    assert check(floats(1), floats(1, 1)) == "shape"
    assert check(floats(1, 1).reshape(1, 2), floats(1, 1)) == "shape"
    assert check(np.array(1, np.float32), floats(1)) == "shape"


def test_comparing_nothing_fails() -> None:
    assert check(floats(), floats()) == "nothing"
    assert check(np.zeros((3, 0), np.float32), np.zeros((3, 0), np.float32)) == "nothing"


def test_names_are_compared_both_ways() -> None:
    assert compare_names(["a", "b"], ["b", "a"], "here") is None
    for node, python in ((["a"], ["a", "b"]), (["a", "b"], ["a"]), ([], ["a"])):
        problem = compare_names(node, python, "here")
        assert problem is not None
        assert problem.check == "names"
    nothing = compare_names([], [], "here")
    assert nothing is not None
    assert nothing.check == "nothing"


def test_messages_have_the_got_and_expected_values_and_the_position() -> None:
    problem = compare_arrays(
        floats(1, 3, 2.5), floats(1, 1, 2), BUDGET, "pooled_output, wasm"
    ).problem
    assert problem is not None
    allowed = f"1.0 ± {ATOL:g}"
    assert problem.message == f"got 3.0, but should be {allowed} [pooled_output, wasm at [1]]"


def test_integers_name_the_first_difference_and_floats_the_largest() -> None:
    ids = compare_arrays(np.array([1, 2, 9], np.int32), np.array([1, 3, 4], np.int32), EXACT, "ids")
    assert ids.problem is not None
    assert ids.problem.message == "got 2, but should be 3 [ids at [1]]"


def test_measures_equal_their_definitions() -> None:
    measures = Measures.between(floats(3, 0, 4), floats(0, 0, 5), Budget(0, 0.1, ""))
    assert measures.compared == 3
    assert measures.max_abs == 3
    assert measures.max_rel == pytest.approx(0.2)
    assert measures.needed_atol == 3
    assert measures.rms == pytest.approx(math.sqrt(10 / 3))
    assert measures.cosine == pytest.approx(20 / 25)


def test_the_reported_smallest_tolerance_passes() -> None:
    random = np.random.default_rng(0)
    python = random.normal(size=(7, 11)).astype(np.float32)
    node = python + random.normal(size=(7, 11)).astype(np.float32) * np.float32(1e-3)
    needed = compare_arrays(node, python, BUDGET, "here").measures.needed_atol
    assert check(node, python, Budget(needed, 0, "")) is None
    assert check(node, python, Budget(np.nextafter(needed, 0), 0, "")) == "values"


def test_measures_of_parts_add_up() -> None:
    random = np.random.default_rng(1)
    node, python = random.normal(size=(2, 100)).astype(np.float32)
    whole = Measures.between(node, python, BUDGET)
    parts = Measures.between(node[:30], python[:30], BUDGET) + Measures.between(
        node[30:], python[30:], BUDGET
    )
    assert parts.max_abs == whole.max_abs
    assert parts.rms == pytest.approx(whole.rms)
    assert parts.cosine == pytest.approx(whole.cosine or 0)
