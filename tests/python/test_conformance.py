"""The recorded cases: output, loss and every gradient, in both precisions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import registry
from measures import assert_all_close, relative_error

# Of explicit layers, then of implicit ones.
RECORDED = (*registry.conformance(), *registry.conformance("dynamics"))
TOLERANCE = {"float64": 1e-11, "float32": 1e-4}


def test_all_cases_are_here() -> None:
    names = [case.name for case, _, _ in registry.conformance()]
    assert len(names) == len(set(names)) == 53
    # The others of these 64 are of what is not there yet.
    assert len(registry.conformance("dynamics")) == 24


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("recorded", RECORDED, ids=lambda entry: entry[0].name)
def test_recorded_case(
    recorded: tuple[registry.Case, float, Mapping[str, Any]], dtype: str
) -> None:
    case, loss, arrays = recorded
    case = case.astype(dtype)
    expected = dict(arrays)
    output = expected.pop("output")
    model = case.model()

    z = model(case.x)
    assert z.dtype == dtype
    assert relative_error(z, output) <= TOLERANCE[dtype]
    value, grads = model.value_and_grad(case.x, case.y, loss=case.loss(), input_grad=True)
    assert relative_error(np.asarray(value), np.asarray(loss)) <= TOLERANCE[dtype]
    assert all(grad.dtype == dtype for grad in grads.values())
    assert_all_close(grads, expected, TOLERANCE[dtype])
