"""Bad input: the right exception, a message with argument and value, and nothing changed."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import relaxon
from measures import bits

rx: Any = relaxon  # arguments of the wrong type are passed on purpose

Error = type[Exception] | tuple[type[Exception], ...]


def refuse(call: Callable[[], Any], error: Error, *words: str) -> None:
    """The call must raise, and each of the words must stand in the message."""
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), f"{word!r} is missing in: {caught.value}"


# -- grids ------------------------------------------------------------------------------------

GRIDS: dict[str, tuple[tuple[Any, ...], dict[str, Any], Error, tuple[str, ...]]] = {
    "no axis": (((),), {}, ValueError, ("shape",)),
    "four axes": (((2, 2, 2, 2),), {}, ValueError, ("shape", "(2, 2, 2, 2)")),
    "empty axis": (((4, 0),), {}, ValueError, ("shape", "0")),
    "negative axis": (((4, -3),), {}, ValueError, ("shape", "-3")),
    "fractional axis": (((4.5,),), {}, TypeError, ("shape", "4.5")),
    "zero spacing": (((4,),), {"spacing": 0.0}, ValueError, ("spacing", "0")),
    "negative spacing": (((4, 5),), {"spacing": (1.0, -0.5)}, ValueError, ("spacing", "-0.5")),
    "infinite spacing": (((4,),), {"spacing": float("inf")}, ValueError, ("spacing", "inf")),
    "nan spacing": (((4,),), {"spacing": float("nan")}, ValueError, ("spacing", "nan")),
    "spacings of other axes": (((4, 5),), {"spacing": (1.0, 1.0, 1.0)}, ValueError, ("spacing",)),
    "misspelt boundary": (
        ((4,),),
        {"boundary": "periodical"},
        ValueError,
        ("boundary", "periodical", "'periodic'"),
    ),
    "misspelt side": (
        ((4, 5),),
        {"boundary": ("periodic", ("neumann", "neuman"))},
        ValueError,
        ("boundary", "'neuman'", "'neumann'"),
    ),
    "boundaries of other axes": (((4, 5),), {"boundary": ("periodic",)}, ValueError, ("boundary",)),
    "half periodic": (
        ((4,),),
        {"boundary": (("periodic", "neumann"),)},
        ValueError,
        ("boundary", "periodic"),
    ),
    "a number as boundary": (((4,),), {"boundary": 1.0}, TypeError, ("boundary", "Dirichlet")),
    "empty mask": (((4,),), {"mask": np.zeros(4, bool)}, ValueError, ("mask",)),
    "mask of another shape": (
        ((4, 5),),
        {"mask": np.ones((5, 4), bool)},
        ValueError,
        ("mask", "(4, 5)", "(5, 4)"),
    ),
    "mask of numbers": (((4,),), {"mask": np.ones(4)}, TypeError, ("mask", "float64")),
    "more cells than can be counted": (((2**21, 2**20),), {}, ValueError, ("shape", "2^40")),
    "half a character": (((4,),), {"names": "\ud800"}, ValueError, ("names", "\\ud800")),
    "half a character of a unit": (((4,),), {"unit": "m\udcb2"}, ValueError, ("unit", "\\udcb2")),
    "periodic mask": (
        ((4,),),
        {"mask_boundary": "periodic"},
        ValueError,
        ("mask_boundary", "periodic"),
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_grids(name: str) -> None:
    args, options, error, words = GRIDS[name]
    refuse(lambda: rx.Grid(*args, **options), error, *words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_dirichlet_values_are_finite(value: float) -> None:
    refuse(lambda: rx.Dirichlet(value), ValueError, str(value))


def test_dirichlet_values_are_numbers() -> None:
    refuse(lambda: rx.Dirichlet("cold"), TypeError, "cold")


# -- operators ----------------------------------------------------------------------------------

OPERATORS: dict[str, tuple[Callable[[], Any], Error, tuple[str, ...]]] = {
    "misspelt space": (
        lambda: rx.ADR(rx.Grid((4,)), space="locale"),
        ValueError,
        ("space", "'locale'", "'local'"),
    ),
    "misspelt time": (
        lambda: rx.ADR(rx.Grid((4,)), time="layerd"),
        ValueError,
        ("time", "'layerd'", "'layered'"),
    ),
    "misspelt scheme": (
        lambda: rx.ADR(rx.Grid((4,)), scheme="lax-wendrof"),
        ValueError,
        ("scheme", "'lax-wendrof'", "'lax-wendroff'"),
    ),
    "not a grid": (lambda: rx.ADR((4,)), TypeError, ("grid",)),
    "order zero": (lambda: rx.Moments(rx.Grid((9,)), order=0), ValueError, ("order", "0")),
    "order nine": (lambda: rx.Moments(rx.Grid((30,)), order=9), ValueError, ("order", "9")),
    "fractional order": (
        lambda: rx.Moments(rx.Grid((9,)), order=2.5),
        TypeError,
        ("order", "2.5"),
    ),
    "radius zero": (lambda: rx.Banded(rx.Grid((9,)), radius=0), ValueError, ("radius", "0")),
    "radius beyond its type": (
        lambda: rx.Banded(rx.Grid((9,)), radius=2**30),
        ValueError,
        ("radius", str(2**30 - 1)),
    ),
    "moments in 2-D": (lambda: rx.Moments(rx.Grid((9, 9)), order=2), ValueError, ("1-D",)),
    "banded in 2-D": (lambda: rx.Banded(rx.Grid((9, 9)), radius=1), ValueError, ("1-D",)),
    "neumann axis shorter than the radius": (
        lambda: rx.Banded(rx.Grid((2,), boundary="neumann"), radius=3),
        ValueError,
        ("2", "3"),
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str) -> None:
    call, error, words = OPERATORS[name]
    refuse(call, error, *words)


# -- models ---------------------------------------------------------------------------------------


def operator() -> Any:
    mask = np.ones((4, 6), bool)
    mask[1, 2] = False
    return rx.ADR(rx.Grid((4, 6), boundary=("neumann", "periodic"), mask=mask), space="local")


def make_model(dtype: str = "float64") -> Any:
    return rx.Relaxation(operator(), depth=3, bias="homogeneous", dtype=dtype, seed=1)


MODELS: dict[str, tuple[dict[str, Any], Error, tuple[str, ...]]] = {
    "zero depth": ({"depth": 0}, ValueError, ("depth", "0")),
    "negative depth": ({"depth": -2}, ValueError, ("depth", "-2")),
    "fractional depth": ({"depth": 2.5}, TypeError, ("depth", "2.5")),
    "more layers than schedules count": ({"depth": 2**31}, ValueError, ("depth", str(2**31 - 1))),
    "half a character": ({"time_unit": "\ud800"}, ValueError, ("time_unit", "\\ud800")),
    "a type of many digits": ({"dtype": "5" * 5000}, TypeError, ("dtype", "float32", "...")),
    "omega two": ({"omega": 2.0}, ValueError, ("omega", "2")),
    "negative omega": ({"omega": -0.1}, ValueError, ("omega", "-0.1")),
    "nan omega": ({"omega": float("nan")}, ValueError, ("omega", "nan")),
    "omega of another shape": ({"omega": np.full(5, 0.5)}, ValueError, ("omega", "(5,)")),
    "one bad omega": ({"omega": np.array([0.5, 2.5, 0.5])}, ValueError, ("omega", "2.5")),
    "misspelt activation": ({"activation": "tahn"}, ValueError, ("activation", "'tahn'", "'tanh'")),
    "misspelt bias": ({"bias": "locl"}, ValueError, ("bias", "'locl'", "'local'")),
    "half precision": ({"dtype": "float16"}, (TypeError, ValueError), ("dtype", "float16")),
    "integers": ({"dtype": "int64"}, (TypeError, ValueError), ("dtype", "int64")),
    "nan beta": ({"beta": float("nan")}, ValueError, ("beta", "nan")),
    "negative beta": ({"beta": -0.5}, ValueError, ("beta", "-0.5")),
    "zero dt": ({"dt": 0.0}, ValueError, ("dt", "0")),
    "text as depth": ({"depth": "3"}, TypeError, ("depth", "3")),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    options, error, words = MODELS[name]
    refuse(lambda: rx.Relaxation(operator(), **{"depth": 3, **options}), error, *words)


def test_an_operator_is_needed() -> None:
    refuse(lambda: rx.Relaxation(rx.Grid((4,)), depth=3), TypeError, "op")


PARAMETERS: dict[str, tuple[dict[str, Any], Error, tuple[str, ...]]] = {
    "unknown": ({"V": np.zeros((2, 4, 6))}, ValueError, ("'V'", "U")),
    "other shape": ({"U": np.zeros((4, 6))}, ValueError, ("'U'", "(2, 4, 6)", "(4, 6)")),
    "other precision": ({"U": np.zeros((2, 4, 6), "f4")}, TypeError, ("'U'", "float32")),
    "integers": ({"U": np.zeros((2, 4, 6), int)}, TypeError, ("'U'", "int64")),
    "nan": ({"bias": np.asarray(np.nan)}, ValueError, ("'bias'",)),
    "infinite": ({"R": np.full((4, 6), np.inf)}, ValueError, ("'R'", "(0, 0)")),
    "fixed omega": ({"omega": np.asarray(0.4)}, ValueError, ("'omega'",)),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    changes, error, words = PARAMETERS[name]
    model = make_model()
    before = bits(model.params)
    refuse(lambda: model.with_params({**model.params, **changes}), error, *words)
    assert bits(model.params) == before


def test_parameters_are_read_only() -> None:
    model = make_model()
    refuse(lambda: model.params["R"].__setitem__(..., 0.0), ValueError, "read-only")
    with pytest.raises(TypeError):
        model.params["R"] = np.zeros((4, 6))


def test_with_params_copies_what_it_is_given() -> None:
    model = make_model()
    mine = {name: value.copy() for name, value in model.params.items()}
    changed = model.with_params(mine)
    mine["R"][...] = 7
    np.testing.assert_array_equal(changed.params["R"], model.params["R"])


# -- sweeps ---------------------------------------------------------------------------------------


def spoilt(shape: tuple[int, ...], index: tuple[int, ...], value: float) -> Any:
    x = np.ones(shape)
    x[index] = value
    return x


FIELDS: dict[str, tuple[Callable[[], Any], Error, tuple[str, ...]]] = {
    "swapped axes": (lambda: np.ones((2, 6, 4)), ValueError, ("(2, 6, 4)", "4, 6", "axes")),
    "swapped axes without batch": (lambda: np.ones((6, 4)), ValueError, ("(6, 4)", "4, 6", "axes")),
    "batch last": (lambda: np.ones((4, 6, 2)), ValueError, ("(4, 6, 2)", "4, 6")),
    "too few axes": (lambda: np.ones(24), ValueError, ("(24,)", "4, 6")),
    "too many axes": (lambda: np.ones((1, 2, 4, 6)), ValueError, ("(1, 2, 4, 6)",)),
    "empty batch": (lambda: np.ones((0, 4, 6)), ValueError, ("(0, 4, 6)",)),
    "float32": (lambda: np.ones((2, 4, 6), "f4"), TypeError, ("float32", "float64")),
    "integers": (lambda: np.ones((2, 4, 6), int), TypeError, ("int64", "float64")),
    "complex": (lambda: np.ones((2, 4, 6), complex), TypeError, ("complex128",)),
    "long double": (lambda: np.ones((2, 4, 6), np.longdouble), TypeError, ("float64",)),
    "objects": (lambda: np.ones((2, 4, 6), object), TypeError, ("object",)),
    "bool": (lambda: np.ones((2, 4, 6), bool), TypeError, ("bool",)),
    "text": (lambda: "field", TypeError, ()),
    "nothing": (lambda: None, TypeError, ()),
    "nan": (lambda: spoilt((2, 4, 6), (1, 2, 3), np.nan), ValueError, ("nan", "(1, 2, 3)")),
    "infinite": (lambda: spoilt((2, 4, 6), (0, 3, 5), -np.inf), ValueError, ("inf", "(0, 3, 5)")),
}


@pytest.mark.parametrize("name", FIELDS)
def test_inputs_of_every_sweep(name: str) -> None:
    make, error, words = FIELDS[name]
    model, bad, good = make_model(), make(), np.ones((2, 4, 6))
    before = bits(model.params)
    calls = {
        "call": lambda: model(bad),
        "trajectory": lambda: model.trajectory(bad),
        "loss": lambda: model.loss(bad, good),
        "value_and_grad": lambda: model.value_and_grad(bad, good),
        "jvp": lambda: model.jvp(bad, dict(model.params)),
        "vjp": lambda: model.vjp(bad, good),
        "check_gradient": lambda: rx.check_gradient(model, bad, good),
        "fit": lambda: rx.fit(model, bad, good, steps=1, inputs="given"),
    }
    kept = bad.tobytes() if isinstance(bad, np.ndarray) else None
    for call in calls.values():
        refuse(call, error, "'x'", *words)
    if isinstance(bad, np.ndarray):
        assert bad.tobytes() == kept
    assert bits(model.params) == before


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"swapped axes without batch"}))
def test_targets_of_every_sweep(name: str) -> None:
    make, error, words = FIELDS[name]
    model, good, bad = make_model(), np.ones((2, 4, 6)), make()
    for call in (
        lambda: model.loss(good, bad),
        lambda: model.value_and_grad(good, bad),
        lambda: rx.fit(model, good, bad, steps=1),
    ):
        refuse(call, error, "'y'", *words)
    refuse(lambda: model.vjp(good, bad), error, "'y_bar'", *words)
    if bad is not None:  # an absent tangent of the input is a zero one
        dots = dict(model.params)
        refuse(lambda: model.jvp(good, dots, bad), error, "'x_dot'", *words)


def test_a_batch_of_targets_for_another_batch() -> None:
    model = make_model()
    refuse(lambda: model.loss(np.ones((3, 4, 6)), np.ones((2, 4, 6))), ValueError, "'y'", "3", "2")


def test_float32_models_take_float32_only() -> None:
    model = make_model("float32")
    refuse(lambda: model(np.ones((2, 4, 6))), TypeError, "'x'", "float32", "float64")
    assert model(np.ones((2, 4, 6), "f4")).dtype == np.float32


def test_masked_arrays_are_not_read_under_their_mask() -> None:
    """netCDF4 gives such arrays; those without a masked entry are arrays like others."""
    model, x = make_model(), np.ones((2, 4, 6))
    masked = np.ma.masked_array(x, np.arange(48).reshape(x.shape) == 7, fill_value=1e20)
    for call in (
        lambda: model(masked),
        lambda: model.loss(x, masked),
        lambda: rx.SquaredDistance(weights=masked),
        lambda: model.with_params({"R": masked[0]}),
    ):
        refuse(call, TypeError, "without masked entries", ".filled(np.nan)")
    assert model.loss(np.ma.masked_array(x), x) == model.loss(x, x)


def test_only_true_and_false_are_flags() -> None:
    x = np.ones((2, 4, 6))
    refuse(lambda: make_model().value_and_grad(x, x, input_grad=1), TypeError, "'input_grad'")
    assert "x" in make_model().value_and_grad(x, x, input_grad=np.True_)[1]


def test_values_that_are_never_read_may_be_nan() -> None:
    model = make_model()
    x = np.ones((2, 4, 6))
    x[:, 1, 2] = np.nan
    assert np.all(np.isfinite(model(x)))
    assert np.isfinite(model.loss(x, x))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: np.empty((2, 4, 5)), ValueError),
        (lambda: np.empty((2, 4, 6), "f4"), TypeError),
        (lambda: np.frombuffer(bytes(384)).reshape(2, 4, 6), ValueError),
        (lambda: [0.0], TypeError),
    ],
    ids=["shape", "dtype", "read-only", "list"],
)
def test_unusable_out(make: Callable[[], Any], error: Error) -> None:
    out = make()
    refuse(lambda: make_model()(np.ones((2, 4, 6)), out=out), error, "'out'")


def test_out_apart_from_the_input_or_in_its_place() -> None:
    model = make_model()
    memory = np.random.default_rng(1).standard_normal((4, 4, 6))
    x = memory[1:3]
    expected = model(x.copy())
    for first in (0, 2):
        refuse(lambda: model(x, out=memory[first : first + 2]), ValueError, "'out'", "overlap")  # noqa: B023
    one = memory.reshape(-1)
    refuse(lambda: model(x, out=one[23:71].reshape(2, 4, 6)), ValueError, "'out'", "overlap")
    states = np.empty((model.depth + 1, 4, 6))
    states[0] = x[0]
    refuse(lambda: model.trajectory(states[0], out=states), ValueError, "'out'", "overlap")
    np.testing.assert_array_equal(model(x, out=x), expected)


def test_an_input_that_is_copied_overlaps_nothing() -> None:
    model = make_model()
    memory = np.random.default_rng(1).standard_normal((2, 4, 12))
    x = memory[..., ::2]
    expected = model(x.copy())
    out = memory.reshape(-1)[:48].reshape(2, 4, 6)
    np.testing.assert_array_equal(model(x, out=out), expected)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"V": np.zeros(3)}, ValueError, ("'V'",)),
        ({"U": np.zeros(3)}, ValueError, ("'U'", "(3,)")),
        ({"U": np.zeros((2, 4, 6), "f4")}, TypeError, ("'U'", "float32")),
    ],
    ids=["unknown", "shape", "dtype"],
)
def test_directions_of_forward_mode(
    change: dict[str, Any], error: Error, words: tuple[str, ...]
) -> None:
    model = make_model()
    dots = {**model.params, **change}
    refuse(lambda: model.jvp(np.ones((2, 4, 6)), dots), error, *words)


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"batch": 0}, ValueError, "batch"),
        ({"batch": -1}, ValueError, "batch"),
        ({"batch": 1.5}, TypeError, "batch"),
        ({"batch": 2, "at": [9]}, ValueError, "at"),
        ({"batch": 2, "memory": "some"}, ValueError, "memory"),
        ({"batch": 2, "input_grad": "no"}, TypeError, "input_grad"),
    ],
    ids=str,
)
def test_plans(options: dict[str, Any], error: Error, word: str) -> None:
    refuse(lambda: rx.plan(make_model(), **{"memory": None, **options}), error, word)


def test_a_sweep_beyond_the_machine_says_so_before_it_starts() -> None:
    """All states of 10^9 layers are some terabytes; a budget makes the same call possible."""
    deep = rx.Relaxation(rx.ADR(rx.Grid((1000,))), depth=10**9)
    x = np.ones((1, 1000))
    refuse(lambda: deep.value_and_grad(x, x), MemoryError, "MiB of this machine", "'memory'")


def test_losses_are_objects_not_names() -> None:
    x = np.ones((2, 4, 6))
    refuse(lambda: make_model().loss(x, x, loss="squared"), TypeError, "loss")


# -- objects in general ---------------------------------------------------------------------


def public_objects() -> list[Any]:
    fitted = rx.fit(make_model(), np.ones((2, 4, 6)), np.zeros((2, 4, 6)), steps=2)
    return [
        rx.Grid((4, 5), spacing=0.5, mask=np.eye(4, 5, dtype=bool)),
        rx.Dirichlet(2.0),
        operator(),
        rx.Moments(rx.Grid((9,)), order=3),
        rx.Banded(rx.Grid((9,)), radius=2),
        rx.Dense(rx.Grid((3,))),
        make_model(),
        fitted.model,
        rx.SquaredDistance(weights=np.ones((4, 6)), at=[1, 3]),
        rx.SteepestDescent(rate={"R": 0.1}, momentum=0.2),
        rx.L2(0.1),
        rx.Smoothness(0.2, of="U"),
    ]


@pytest.mark.parametrize("index", range(12))
def test_repr_equality_copies_and_pickles(index: int) -> None:
    thing = public_objects()[index]
    assert type(thing).__name__ in repr(thing)
    for other in (copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))):
        assert other == thing
        assert repr(other) == repr(thing)
    others = [other for k, other in enumerate(public_objects()) if k != index]
    assert all(other != thing for other in others)


def test_a_pickled_model_computes_the_same() -> None:
    model, x = make_model(), np.random.default_rng(0).standard_normal((2, 4, 6))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again(x), model(x))


def test_models_change_precision_on_request() -> None:
    model = make_model()
    narrow = model.astype("float32")
    assert narrow.dtype == np.float32
    assert model.dtype == np.float64
    for name, value in narrow.params.items():
        np.testing.assert_array_equal(value, model.params[name].astype("f4"))
    x = np.random.default_rng(0).standard_normal((2, 4, 6))
    np.testing.assert_allclose(narrow(x.astype("f4")), model(x), rtol=1e-4, atol=1e-5)
