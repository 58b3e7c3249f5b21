"""The torch layer: its gradients are ours, and it behaves as a module does."""

import copy
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import relaxon as rx

torch = pytest.importorskip("torch")
from torch.nn.utils import parametrize, prune  # noqa: E402

from relaxon.torch import RelaxationLayer  # noqa: E402

SHAPE = (4, 6)
MASK = np.arange(24).reshape(SHAPE) % 7 != 3
ENDS = {"lift": rx.Lift(3), "readout": rx.Readout(2, "tanh")}


def model(masked: bool = False, dtype: str = "float64", **options: Any) -> rx.Relaxation:
    grid = rx.Grid(SHAPE, boundary=("neumann", "periodic"), mask=MASK if masked else None)
    operator = rx.ADR(grid, space="local")
    return rx.Relaxation(operator, depth=3, bias="local", dtype=dtype, seed=4, **options)


def sample(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def bars(layer: Any) -> dict[str, Any]:
    return {name: tensor.grad.numpy() for name, tensor in layer.named_parameters()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lead", [(), (5,)])
@pytest.mark.parametrize(
    "options",
    [{}, {"masked": True, "trainable_omega": True}, ENDS, {"drive": True, "normalization": "hard"}],
    ids=["", "mask", "ends", "drive"],
)
def test_output_and_gradients_are_ours(
    options: dict[str, Any], lead: tuple[int, ...], dtype: str
) -> None:
    ours = model(dtype=dtype, **options)
    x = sample((*lead, *ours.input_shape), dtype)
    y_bar = sample((*lead, *ours.output_shape), dtype, seed=1)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    layer = RelaxationLayer(ours)
    y = layer(tensor)
    y.backward(torch.from_numpy(y_bar))
    expected = ours.vjp(x, y_bar)
    assert np.array_equal(y.detach().numpy(), ours(x))
    assert np.array_equal(tensor.detach().numpy(), x)
    got = {**bars(layer), "x": tensor.grad.numpy()}
    assert list(got) == list(expected)
    assert all(np.array_equal(got[name], expected[name]) for name in expected)


def test_gradcheck() -> None:
    layer = RelaxationLayer(model(masked=True, trainable_omega=True))
    x = torch.from_numpy(np.where(MASK, sample((2, *SHAPE)), 0.0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: layer(x), (x, *layer.parameters()))


def test_training_loop_goes_down_on_our_gradients() -> None:
    layer = RelaxationLayer(model())
    x, y = sample((8, *SHAPE)), sample((8, *SHAPE), seed=1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (layer(torch.from_numpy(x)) - torch.from_numpy(y)).square().sum() / 8
        loss.backward()
        ours = layer.to_relaxation()
        expected = ours.vjp(x, (ours(x) - y) * (2 / 8))
        assert all(np.array_equal(bar, expected[name]) for name, bar in bars(layer).items())
        value, grads = ours.value_and_grad(x, y)
        assert loss.item() == pytest.approx(value, rel=1e-13)
        for name, bar in bars(layer).items():
            np.testing.assert_allclose(bar, grads[name], rtol=1e-11, atol=1e-13)
        losses.append(loss.item())
        optimizer.step()
    assert np.all(np.diff(losses) < 0)


def test_only_what_is_asked_for() -> None:
    ours = model(trainable_omega=True)
    x: Any = torch.from_numpy(sample((2, *SHAPE)))
    layer = RelaxationLayer(ours)
    layer(x).sum().backward()
    assert x.grad is None
    assert set(bars(layer)) == set(ours.params)
    frozen = RelaxationLayer(ours).requires_grad_(False)
    assert not frozen(x).requires_grad
    y = frozen(x.requires_grad_())
    y.sum().backward()
    assert np.array_equal(np.asarray(x.grad), ours.vjp(x.detach().numpy(), np.ones(y.shape))["x"])
    assert all(tensor.grad is None for tensor in frozen.parameters())
    with torch.no_grad():
        assert not layer(x).requires_grad


def test_memory_is_shared_and_copied_only_where_not_contiguous() -> None:
    layer = RelaxationLayer(model())
    x = sample((6, *SHAPE))
    # Through the transposed tensor, the same numbers.
    turned = torch.from_numpy(x.transpose(2, 1, 0).copy()).permute(2, 1, 0).requires_grad_()
    assert not turned.is_contiguous()
    y = layer(turned)
    y.sum().backward()
    assert np.array_equal(y.detach().numpy(), layer.to_relaxation()(x))
    with torch.no_grad():
        layer.U.mul_(2.0)
    assert np.array_equal(layer(turned).detach().numpy(), layer.to_relaxation()(x))
    assert not np.shares_memory(layer.U.detach().numpy(), layer.to_relaxation().params["U"])


def test_change_between_forward_and_backward_is_noticed() -> None:
    layer = RelaxationLayer(model())
    y = layer(torch.from_numpy(sample(SHAPE)))
    with torch.no_grad():
        layer.D.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_state_copies_and_conversions() -> None:
    first = RelaxationLayer(model(trainable_omega=True))
    with torch.no_grad():
        first.omega.fill_(0.25)
    second = RelaxationLayer(model(trainable_omega=True))
    second.load_state_dict(first.state_dict())
    trained = first.to_relaxation()
    assert trained.params["omega"] == 0.25
    assert list(first.state_dict()) == list(trained.params)
    for twin in (second, copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert twin.to_relaxation() == trained
    assert first.float().to_relaxation() == trained.astype("float32")
    x = torch.from_numpy(sample(SHAPE, "float32"))
    assert first(x).dtype == torch.float32
    assert first.to(torch.float64)(x.double()).dtype == torch.float64
    assert "ADR" in repr(first)


def test_not_a_number_flows_through() -> None:
    layer = RelaxationLayer(model())
    x = torch.from_numpy(sample((2, *SHAPE)))
    x[0, 0, 0] = float("nan")
    y = layer(x)
    assert y[0].isnan().any()
    assert not y[1].isnan().any()


def test_refusals() -> None:
    layer = RelaxationLayer(model())
    x = torch.from_numpy(sample((2, *SHAPE))).requires_grad_()
    with pytest.raises(TypeError, match=r"argument 'x'.*float64.*, or the layer with .*float32\)$"):
        layer(x.float())
    for other in (torch.bfloat16, torch.float16, torch.int64):
        with pytest.raises(
            TypeError, match=r"one of torch.*; convert it with .to\(torch.float64\)$"
        ):
            layer(x.to(other))
    with pytest.raises(TypeError, match=r"argument 'x': expected a torch.Tensor"):
        layer(x.detach().numpy())
    with pytest.raises(ValueError, match="are the axes swapped"):
        layer(x.transpose(1, 2))
    with pytest.raises(ValueError, match=r"argument 'x': expected a tensor on the CPU"):
        layer(x.to("meta"))
    with pytest.raises(ValueError, match="argument 'device'"):
        layer.to("meta")
    with pytest.raises(TypeError, match=r"argument 'dtype'.*float16"):
        layer.half()
    assert layer(x).dtype == torch.float64
    (first,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.grad((first**2).sum(), x)
    with pytest.raises(ValueError, match="argument 'threads'"):
        RelaxationLayer(model(), threads=0)
    with pytest.raises(ValueError, match="argument 'memory'"):
        RelaxationLayer(model(), memory="much")


def test_parameters_that_moved_are_found() -> None:
    """Views of their memory are kept between calls."""
    layer = RelaxationLayer(model())
    x = torch.from_numpy(sample((2, *SHAPE)))
    before = layer(x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2.0)
    twice = layer(x)
    np.testing.assert_array_equal(twice.detach(), layer.to_relaxation()(x.numpy()))
    for parameter in layer.parameters():
        parameter.data = parameter.data / 2.0
    np.testing.assert_array_equal(layer(x).detach(), before.detach())
    assert not torch.equal(twice, before)
    layer.load_state_dict({name: 2.0 * value for name, value in layer.state_dict().items()})
    np.testing.assert_array_equal(layer(x).detach(), twice.detach())
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(layer(x).detach(), twice.detach())


def test_a_parameter_changed_before_backward_is_noticed() -> None:
    layer = RelaxationLayer(model())
    output = layer(torch.from_numpy(sample((2, *SHAPE)))).sum()
    with torch.no_grad():
        layer.U.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.backward()


RUNTIMES = """
import os
{imports}
import numpy as np
import relaxon as rx, torch
torch.set_num_threads(2)
model = rx.Relaxation(rx.ADR(rx.Grid((64, 64))), depth=4)
x = np.ones((16, 64, 64))
def work():
    a = torch.ones(400, 400) @ torch.ones(400, 400)
    return float(a[0, 0]) + model(x, threads=2)[0, 0, 0]
first = work()
child = os.fork()
if child == 0:
    os._exit(0 if model(x, threads=2)[0, 0, 0] + 400.0 == first else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert work() == first
"""


def test_pruned_and_parametrized_parameters() -> None:
    """They leave the module's list of parameters, which is then in another order."""
    x = torch.from_numpy(sample((2, *SHAPE)))
    layer = RelaxationLayer(model())
    start = {name: tensor.detach().clone() for name, tensor in layer.named_parameters()}
    prune.l1_unstructured(layer, "R", amount=0.5)
    parametrize.register_parametrization(layer, "D", torch.nn.Softplus())
    pruned = start["R"] * layer.R_mask
    expected = model().with_params(
        {"R": pruned.numpy(), "D": torch.nn.functional.softplus(start["D"]).numpy()}
    )
    assert layer.to_relaxation() == expected
    y_bar = sample((2, *SHAPE), seed=1)
    for _ in range(2):
        y = layer(x)
        assert np.array_equal(y.detach().numpy(), expected(x.numpy()))
        with torch.no_grad():
            assert torch.equal(layer(x), y)
    y.backward(torch.from_numpy(y_bar))
    bars = expected.vjp(x.numpy(), y_bar)
    assert np.array_equal(layer.R_orig.grad.numpy(), bars["R"] * layer.R_mask.numpy())
    slope = torch.sigmoid(start["D"]).numpy()
    original = layer.parametrizations.D.original
    np.testing.assert_allclose(original.grad.numpy(), bars["D"] * slope, rtol=1e-14)


def test_order_of_parameters_in_the_module_does_not_matter() -> None:
    class Scaled(RelaxationLayer):
        def __init__(self) -> None:
            super().__init__(model())
            self.scale = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
            self._parameters["R"] = self._parameters.pop("R")

        def forward(self, x: Any) -> Any:
            return self.scale * super().forward(x)

    x = sample((2, *SHAPE))
    assert np.array_equal(Scaled()(torch.from_numpy(x)).detach().numpy(), 2.0 * model()(x))


def test_parameter_of_another_shape_is_refused() -> None:
    layer = RelaxationLayer(model())
    layer.R = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"argument 'R': expected \(4, 6\), got \(3,\)"):
        layer(torch.from_numpy(sample((2, *SHAPE))))
    layer.R = torch.nn.Parameter(torch.zeros(SHAPE, dtype=torch.float32))
    with pytest.raises(TypeError, match=r"argument 'R': expected an array of float64"):
        layer(torch.from_numpy(sample((2, *SHAPE))))


def test_parameter_that_is_not_contiguous_is_followed() -> None:
    layer = RelaxationLayer(model())
    memory = torch.zeros(6, 4, dtype=torch.float64)
    layer.R = torch.nn.Parameter(memory.T)
    x = torch.from_numpy(sample((2, *SHAPE)))
    with torch.no_grad():
        before = layer(x)
        memory += 0.5
        after = layer(x)
    assert torch.equal(after, torch.from_numpy(layer.to_relaxation()(x.numpy())))
    assert not torch.equal(before, after)


def test_hooks_for_saved_tensors() -> None:
    """Copies were saved: they are differentiated, though the parameters have moved on."""
    x, y_bar = sample((2, *SHAPE)), sample((2, *SHAPE), seed=1)
    layer = RelaxationLayer(model())
    copies = torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t)
    with copies:
        y = layer(torch.from_numpy(x))
    with torch.no_grad():
        layer.R += 0.1
    y.backward(torch.from_numpy(y_bar))
    expected = model().vjp(x, y_bar)
    assert all(np.array_equal(bar, expected[name]) for name, bar in bars(layer).items())


def test_negative_views() -> None:
    x, y_bar = sample((2, *SHAPE)), sample((2, *SHAPE), seed=1)
    layer = RelaxationLayer(model())
    y = layer(torch._neg_view(torch.from_numpy(-x)))
    assert np.array_equal(y.detach().numpy(), model()(x))
    y.backward(torch._neg_view(torch.from_numpy(-y_bar)))
    assert np.array_equal(bars(layer)["U"], model().vjp(x, y_bar)["U"])


ORDERS = ["import torch; import relaxon._core", "import relaxon._core; import torch"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("order", ORDERS)
def test_two_runtimes_in_one_process(order: str) -> None:
    script = RUNTIMES.format(imports=order)
    command = [sys.executable, "-W", "ignore", "-c", script]
    subprocess.run(command, check=True, timeout=300)
