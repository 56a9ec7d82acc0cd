"""I3D against its parts counted one by one, and against the same graph written out a second time without modules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, max_pool3d, pad

from tests.tiny_i3d import NARROW, drawn_inception
from vgaudit.errors import Unavailable
from vgaudit.zoo import inception_i3d
from vgaudit.zoo.catalogue import I3D_RGB, WEIGHTS
from vgaudit.zoo.inception_i3d import KINETICS_400, load_inception_i3d, same_padding

# The paper's blocks by hand: what goes in; 1x1; 1x1 -> 3x3; 1x1 -> 3x3; 1x1 after the pool.
BLOCKS: dict[str, tuple[int, int, tuple[int, int], tuple[int, int], int]] = {
    "Mixed_3b": (192, 64, (96, 128), (16, 32), 32),
    "Mixed_3c": (256, 128, (128, 192), (32, 96), 64),
    "Mixed_4b": (480, 192, (96, 208), (16, 48), 64),
    "Mixed_4c": (512, 160, (112, 224), (24, 64), 64),
    "Mixed_4d": (512, 128, (128, 256), (24, 64), 64),
    "Mixed_4e": (512, 112, (144, 288), (32, 64), 64),
    "Mixed_4f": (528, 256, (160, 320), (32, 128), 128),
    "Mixed_5b": (832, 256, (160, 320), (32, 128), 128),
    "Mixed_5c": (832, 384, (192, 384), (48, 128), 128),
}


def units() -> dict[str, tuple[int, int, int]]:
    """Every normalised convolution: channels in, channels out, side of the kernel."""
    out = {"Conv3d_1a_7x7": (3, 64, 7), "Conv3d_2b_1x1": (64, 64, 1), "Conv3d_2c_3x3": (64, 192, 3)}
    for block, (of, one, (reduce, three), (reduce_small, small), pooled) in BLOCKS.items():
        out[f"{block}.b0"] = (of, one, 1)
        out[f"{block}.b1a"], out[f"{block}.b1b"] = (of, reduce, 1), (reduce, three, 3)
        out[f"{block}.b2a"], out[f"{block}.b2b"] = (of, reduce_small, 1), (reduce_small, small, 3)
        out[f"{block}.b3b"] = (of, pooled, 1)
    return out


@pytest.fixture(scope="module")
def network() -> Any:
    return drawn_inception(KINETICS_400, 3)


@pytest.fixture(scope="module")
def narrow() -> Any:
    """The same graph with few channels: what it does with time and place does not depend on them."""
    return drawn_inception(NARROW, 3)


@dataclass(frozen=True)
class Seen:
    """One clip through the network at its full width, which takes seconds."""

    x: Tensor
    made: Tensor
    shapes: list[tuple[str, tuple[int, ...]]]


@pytest.fixture(scope="module")
def whole(network: Any) -> Seen:
    shapes: list[tuple[str, tuple[int, ...]]] = []
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, out, name=name: shapes.append((name, tuple(out.shape[1:])))
        )
        for name, module in network.named_children()
    ]
    x = clip(16, 224)
    made = network(x)
    for hook in hooks:
        hook.remove()
    return Seen(x, made, shapes)


def test_every_parameter_is_the_papers(network: Any) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "logits.conv3d.weight": (400, 1024, 1, 1, 1),
        "logits.conv3d.bias": (400,),
    }
    for unit, (of, to, side) in units().items():
        expected[f"{unit}.conv3d.weight"] = (to, of, side, side, side)
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{unit}.bn.{part}"] = (to,)
        expected[f"{unit}.bn.num_batches_tracked"] = ()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == expected
    counted = sum(of * to * side**3 + 2 * to for of, to, side in units().values()) + 1024 * 400 + 400
    assert sum(p.numel() for p in network.parameters()) == counted == 12_697_264


def test_channels_of_a_block_follow_from_the_one_before() -> None:
    blocks = list(BLOCKS.values())
    for (_, one, (_, three), (_, small), pooled), after in pairwise(blocks):
        assert one + three + small + pooled == after[0]
    assert BLOCKS["Mixed_5c"][1] + 384 + 128 + 128 == 1024


SHAPES = {
    "Conv3d_1a_7x7": (64, 8, 112, 112),
    "MaxPool3d_2a_3x3": (64, 8, 56, 56),
    "Conv3d_2b_1x1": (64, 8, 56, 56),
    "Conv3d_2c_3x3": (192, 8, 56, 56),
    "MaxPool3d_3a_3x3": (192, 8, 28, 28),
    "Mixed_3b": (256, 8, 28, 28),
    "Mixed_3c": (480, 8, 28, 28),
    "MaxPool3d_4a_3x3": (480, 4, 14, 14),
    "Mixed_4b": (512, 4, 14, 14),
    "Mixed_4c": (512, 4, 14, 14),
    "Mixed_4d": (512, 4, 14, 14),
    "Mixed_4e": (528, 4, 14, 14),
    "Mixed_4f": (832, 4, 14, 14),
    "MaxPool3d_5a_2x2": (832, 2, 7, 7),
    "Mixed_5b": (832, 2, 7, 7),
    "Mixed_5c": (1024, 2, 7, 7),
    "logits": (400, 1, 1, 1),
}


def test_every_output_has_the_papers_shape_and_place(whole: Seen) -> None:
    assert whole.shapes == list(SHAPES.items())
    assert whole.made.shape == (1, 400)


# The same graph once more, from functions alone. What a mutation changes is a field.
class Graph:
    """I3D from a state dict: TensorFlow's padding, convolution, normalisation as a line, all written out."""

    eps = 1e-3
    odd_behind = True

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def padding(self, size: int, kernel: int, stride: int) -> tuple[int, int]:
        total = max(kernel - (stride if size % stride == 0 else size % stride), 0)
        less, more = total // 2, total - total // 2
        return (less, more) if self.odd_behind else (more, less)

    def pad(self, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0.0) -> Tensor:
        t, h, w = (self.padding(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True))
        return pad(x, (*w, *h, *t), value=value)

    def unit(self, x: Tensor, name: str, kernel: int = 1, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.conv3d.weight"]
        x = conv3d(self.pad(x, (kernel,) * 3, (stride,) * 3), weight, stride=stride)
        gain, shift, mean, var = (
            self.state[f"{name}.bn.{part}"].view(1, -1, 1, 1, 1)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return self.activation(gain / (var + self.eps).sqrt() * (x - mean) + shift)

    def activation(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    def pool(self, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0.0) -> Tensor:
        return max_pool3d(self.pad(x, kernel, stride, value), kernel, stride)

    def block(self, x: Tensor, name: str) -> Tensor:
        return torch.cat(
            [
                self.unit(x, f"{name}.b0"),
                self.unit(self.unit(x, f"{name}.b1a"), f"{name}.b1b", 3),
                self.unit(self.unit(x, f"{name}.b2a"), f"{name}.b2b", 3),
                self.unit(self.pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b"),
            ],
            dim=1,
        )

    def features(self, x: Tensor) -> Tensor:
        x = self.unit(x, "Conv3d_1a_7x7", 7, 2)
        x = self.pool(x, (1, 3, 3), (1, 2, 2))
        x = self.unit(self.unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3", 3)
        x = self.pool(x, (1, 3, 3), (1, 2, 2))
        for name in BLOCKS:
            if name == "Mixed_4b":
                x = self.pool(x, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                x = self.pool(x, (2, 2, 2), (2, 2, 2))
            x = self.block(x, name)
        return x

    def averaged(self, seen: Tensor) -> Tensor:
        """``(n, 1024, t)``: means of two frames and all places, at every step."""
        return torch.stack(
            [seen[:, :, i : i + 2].mean(dim=(2, 3, 4)) for i in range(seen.shape[2] - 1)], dim=2
        )

    def logits(self, x: Tensor) -> Tensor:
        weight = self.state["logits.conv3d.weight"][:, :, 0, 0, 0]
        return torch.einsum("kc,nct->nkt", weight, x) + self.state["logits.conv3d.bias"].view(1, -1, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return self.over_time(self.logits(self.averaged(self.features(x))))

    def over_time(self, x: Tensor) -> Tensor:
        return x.mean(dim=2)


def clip(frames: int, height: int, width: int | None = None, n: int = 1) -> Tensor:
    """Random but with a slope, so that the borders of a picture differ from each other."""
    generator = torch.Generator().manual_seed(frames * height)
    noise = torch.rand(n, 3, frames, height, width or height, generator=generator) * 2 - 1
    return noise * torch.linspace(0.2, 1, noise.shape[-1]) * torch.linspace(1, 0.3, frames).view(-1, 1, 1)


def apart(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the numbers' own spread."""
    assert a.shape == b.shape
    assert 0.05 < float(a.std()) < 50  # neither faded out nor blown up on the way
    return float((a - b).abs().max() / a.std())


def test_logits_are_those_of_the_graph_written_out(network: Any, whole: Seen) -> None:
    assert apart(whole.made, Graph(network.state_dict())(whole.x)) < 1e-5


SIZES = [(16, 224, 224), (17, 224, 223), (9, 193, 224)]


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "height", "width"), SIZES[1:])
def test_logits_at_other_sizes(network: Any, frames: int, height: int, width: int) -> None:
    x = clip(frames, height, width)
    assert apart(network(x), Graph(network.state_dict())(x)) < 1e-5


@pytest.mark.parametrize(("frames", "height", "width"), SIZES)
def test_logits_of_a_narrow_network(narrow: Any, frames: int, height: int, width: int) -> None:
    x = clip(frames, height, width)
    assert apart(narrow(x), Graph(narrow.state_dict())(x)) < 1e-5


@pytest.mark.parametrize("frames", [9, 16, 17])
@pytest.mark.parametrize(("height", "width"), [(64, 97), (65, 96), (81, 79)])
def test_last_block_at_other_sizes(network: Any, frames: int, height: int, width: int) -> None:
    x = clip(frames, height, width)
    assert apart(network.features(x), Graph(network.state_dict()).features(x)) < 1e-5


class OddInFront(Graph):
    odd_behind = False


class SmallEpsilon(Graph):
    eps = 1e-5


class Symmetric(Graph):
    """As torch pads by itself."""

    def padding(self, size: int, kernel: int, stride: int) -> tuple[int, int]:
        return (kernel // 2, (kernel - 1) // 2) if stride == 1 else (kernel // 2, kernel // 2)


class NoActivation(Graph):
    def activation(self, x: Tensor) -> Tensor:
        return x


class BranchesExchanged(Graph):
    def block(self, x: Tensor, name: str) -> Tensor:
        made = super().block(x, name)
        one, three = (len(self.state[f"{name}.{unit}.conv3d.weight"]) for unit in ("b0", "b1b"))
        return torch.cat([made[:, one : one + three], made[:, :one], made[:, one + three :]], dim=1)


class NoLogitBias(Graph):
    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) - self.state["logits.conv3d.bias"].view(1, -1, 1)


class LargestOverTime(Graph):
    def over_time(self, x: Tensor) -> Tensor:
        return x.amax(dim=2)


class AllFramesAtOnce(Graph):
    """The average pool over all of time: the frames in the middle then count no more than those at the ends."""

    def averaged(self, seen: Tensor) -> Tensor:
        return seen.mean(dim=(2, 3, 4))[:, :, None]


@dataclass(frozen=True)
class Longer:
    """A clip, what the last block makes of it, and its logits."""

    x: Tensor
    features: Tensor
    made: Tensor


@pytest.fixture(scope="module")
def longer(network: Any) -> Longer:
    """Three steps of time are left at the end, so that what becomes of them shows."""
    kept: list[Tensor] = []
    hook = network.Mixed_5c.register_forward_hook(lambda _m, _i, out: kept.append(out))
    x = clip(17, 224)
    made = network(x)
    hook.remove()
    return Longer(x, kept[0], made)


AMID = [OddInFront, SmallEpsilon, Symmetric, NoActivation, BranchesExchanged]
BEHIND = [NoLogitBias, LargestOverTime, AllFramesAtOnce]
"""What differs after the last block only."""


def differs(made: Tensor, other: Tensor) -> bool:
    return float((made - other).abs().max() / made.std()) > 0.1


@pytest.mark.parametrize("mutated", AMID)
def test_a_graph_that_differs_is_told(narrow: Any, mutated: Callable[[dict[str, Tensor]], Graph]) -> None:
    x = clip(17, 224)
    assert differs(narrow(x), mutated(narrow.state_dict())(x))


@pytest.mark.parametrize("mutated", BEHIND)
def test_an_end_that_differs_is_told(
    network: Any, longer: Longer, mutated: Callable[[dict[str, Tensor]], Graph]
) -> None:
    graph = mutated(network.state_dict())
    assert differs(longer.made, graph.over_time(graph.logits(graph.averaged(longer.features))))


@pytest.mark.slow
@pytest.mark.parametrize("mutated", [*AMID, *BEHIND])
def test_a_graph_that_differs_is_told_at_full_width(
    network: Any, longer: Longer, mutated: Callable[[dict[str, Tensor]], Graph]
) -> None:
    assert differs(longer.made, mutated(network.state_dict())(longer.x))


class PoolLeavesOut(Graph):
    """TensorFlow's own pool: what lies outside is left out, not 0."""

    def pool(self, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float = 0.0) -> Tensor:
        return super().pool(x, kernel, stride, float("-inf"))


class TimeBeforeLogits(Graph):
    def __call__(self, x: Tensor) -> Tensor:
        return self.logits(self.averaged(self.features(x)).mean(dim=2, keepdim=True))[:, :, 0]


SAME = [PoolLeavesOut, TimeBeforeLogits]


@pytest.mark.parametrize("same", SAME)
def test_what_makes_no_difference_in_this_graph(
    narrow: Any, same: Callable[[dict[str, Tensor]], Graph]
) -> None:
    """Every pool comes after a ReLU, and all after the last block is linear."""
    x = clip(17, 224)
    assert apart(narrow(x), same(narrow.state_dict())(x)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("same", SAME)
def test_what_makes_no_difference_at_full_width(
    network: Any, longer: Longer, same: Callable[[dict[str, Tensor]], Graph]
) -> None:
    assert apart(longer.made, same(network.state_dict())(longer.x)) < 1e-5


def test_a_pool_by_itself_takes_zeros_around(network: Any) -> None:
    x = torch.full((1, 1, 2, 3, 4), -1.0)
    made = network.get_submodule("MaxPool3d_2a_3x3")(x)
    assert (
        made[0, 0].tolist() == [[[0.0, 0.0], [0.0, 0.0]]] * 2
    )  # 3 rows: one zero row on either side; 4 columns: one behind
    inside = network.get_submodule("MaxPool3d_5a_2x2")(torch.full((1, 1, 2, 4, 4), -1.0))
    assert inside[0, 0].tolist() == [[[-1.0, -1.0], [-1.0, -1.0]]]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 7, 2, (2, 3)),
        (223, 7, 2, (3, 3)),
        (16, 7, 2, (2, 3)),
        (112, 3, 2, (0, 1)),
        (7, 2, 2, (0, 1)),
        (8, 2, 2, (0, 0)),
        (5, 1, 2, (0, 0)),
        (9, 3, 1, (1, 1)),
    ],
)
def test_same_padding(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == expected


@pytest.mark.parametrize("shape", ["narrow", pytest.param("network", marks=pytest.mark.slow)])
def test_clips_of_a_batch_do_not_touch_each_other(request: pytest.FixtureRequest, shape: str) -> None:
    network, x = request.getfixturevalue(shape), clip(9, 224, n=2)
    together = network(x)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], network(x[i : i + 1]), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("frames", "height", "width"), [(8, 224, 224), (16, 192, 224), (16, 224, 256)])
def test_clips_that_leave_no_single_place_are_refused(
    narrow: Any, frames: int, height: int, width: int
) -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 3, 9 or more, 224, 224\)"):
        narrow(clip(frames, height, width))


def saved(path: Path, state: dict[str, Tensor], **how: bool) -> tuple[str, str]:
    torch.save(state, path, **how)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("shape", ["narrow", pytest.param("network", marks=pytest.mark.slow)])
def test_weights_load_from_a_file_of_tensors_old_or_new(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    network, x = request.getfixturevalue(shape), clip(16, 224)
    if shape == "narrow":
        monkeypatch.setattr(inception_i3d, "KINETICS_400", NARROW)
    state, made = network.state_dict(), network(x)
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    path, sha256 = saved(tmp_path / "new.pt", state)
    loaded = load_inception_i3d(path, sha256, "cpu")
    torch.testing.assert_close(loaded.network(x), made, rtol=0, atol=0)
    assert loaded.facts["weights_sha256"] == sha256
    assert loaded.facts["weights_pinned"] is True
    path, sha256 = saved(tmp_path / "old.pt", old, _use_new_zipfile_serialization=False)  # as torch 0.3 did
    torch.testing.assert_close(load_inception_i3d(path, sha256, "cpu").network(x), made, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Mixed_3b.b1a.conv3d.weight": None}, "Mixed_3b.b1a.conv3d.weight"),
        ({"Mixed_9z.b0.conv3d.weight": torch.zeros(1)}, "Mixed_9z"),
        ({"logits.conv3d.weight": torch.zeros(600, 1024, 1, 1, 1)}, "logits.conv3d.weight"),
        ({"Conv3d_1a_7x7.bn.running_mean": torch.full((64,), torch.nan)}, "not finite"),
    ],
)
def test_weights_of_another_network_are_refused(
    network: Any, tmp_path: Path, change: dict[str, Tensor | None], text: str
) -> None:
    state = {**network.state_dict(), **change}
    path, sha256 = saved(tmp_path / "other.pt", {k: v for k, v in state.items() if v is not None})
    with pytest.raises(Unavailable, match=text):
        load_inception_i3d(path, sha256, "cpu")
    with pytest.raises(Unavailable, match="is pinned to"):
        load_inception_i3d(path, "0" * 64, "cpu")


def test_the_named_file_needs_a_stated_digest(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = WEIGHTS[I3D_RGB]
    with pytest.raises(Unavailable, match="no digest is established for i3d-rgb-imagenet") as refused:
        load_inception_i3d(I3D_RGB, None, "cpu")
    assert entry.url in str(refused.value)
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path))
    (tmp_path / entry.repo).mkdir(parents=True)
    _, sha256 = saved(tmp_path / entry.mirror_path, network.state_dict())
    loaded = load_inception_i3d(I3D_RGB, sha256, "cpu")
    assert loaded.facts["weights"] == I3D_RGB
    assert loaded.facts["licence"] == "Apache-2.0"
