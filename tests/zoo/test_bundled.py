"""The networks that ship with the package: their files, how they are found, and that nothing else is run instead."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_bundled import install, save_guard
from vgaudit.errors import Unavailable
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.zoo import catalogue, clip_models, resolve
from vgaudit.zoo.catalogue import BUNDLED_CLIP, BUNDLED_GUARD, BUNDLED_VIDEO, WEIGHTS, by_digest
from vgaudit.zoo.clip_models import ClipChoice, load_clip
from vgaudit.zoo.torchscript import load_torchscript

NAMES = (BUNDLED_CLIP, BUNDLED_VIDEO, BUNDLED_GUARD)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clip_models, "_loaded", {})
    return install(tmp_path / "bundled", monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_digests_are_those_of_the_files(name: str) -> None:
    entry = WEIGHTS[name]
    folder = resolve.BUNDLED / entry.bundled
    files = {entry.filename: entry.sha256, **entry.beside}
    there = {
        f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in files if (folder / f).is_file()
    }
    assert files == there, f"put this into catalogue._BUNDLED_DIGESTS:\n{json.dumps({name: there}, indent=4)}"
    assert {p.name for p in folder.iterdir()} == {*files, "README.md"}
    assert entry.licence == "Apache-2.0"
    assert entry.licence in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_found_in_the_package_and_verified(name: str, tiny: Path) -> None:
    entry = WEIGHTS[name]
    found = resolve.resolve(name)
    assert (found.path, found.name, found.pinned) == (tiny / name / entry.filename, name, True)
    assert resolve.pinned_digest(name) == found.sha256 == entry.sha256
    assert by_digest(found.sha256) is entry


def test_a_changed_or_missing_file_is_refused(tiny: Path) -> None:
    network = tiny / BUNDLED_VIDEO / "network.pt"
    network.write_bytes(network.read_bytes() + b"x")
    with pytest.raises(Unavailable, match=r"but network\.pt is pinned to") as caught:
        resolve.resolve(BUNDLED_VIDEO)
    assert "reinstall vgaudit from where you got it" in caught.value.remedy
    assert "pip" not in caught.value.remedy
    network.unlink()
    with pytest.raises(
        Unavailable, match=r"storyworld-video ships with vgaudit, but its file network\.pt is not there"
    ):
        resolve.resolve(BUNDLED_VIDEO)


def test_another_file_under_a_bundled_name_is_refused_whatever_digest_is_stated(tiny: Path) -> None:
    network = tiny / BUNDLED_VIDEO / "network.pt"
    assert resolve.resolve(BUNDLED_VIDEO, str(WEIGHTS[BUNDLED_VIDEO].sha256).upper()).path == network
    save_guard(network, 1.0)
    digest = hashlib.sha256(network.read_bytes()).hexdigest()
    with pytest.raises(Unavailable, match=f"sha256: {digest}` is another file's"):
        resolve.resolve(BUNDLED_VIDEO, digest)
    with pytest.raises(Unavailable, match=f"sha256: {digest}` is another file's"):
        load_torchscript(BUNDLED_VIDEO, digest, "cpu")


def test_a_bundled_name_is_bundled_whatever_its_digest(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vgaudit.zoo.torchscript.by_digest", lambda sha256: None)
    assert load_torchscript(BUNDLED_VIDEO, None, "cpu").facts["bundled"] is True


def test_a_network_without_digest_is_refused(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WEIGHTS, BUNDLED_VIDEO, replace(WEIGHTS[BUNDLED_VIDEO], sha256=None))
    with pytest.raises(Unavailable, match=r"no digest is established for network\.pt"):
        resolve.resolve(BUNDLED_VIDEO)


@pytest.mark.parametrize("file", ["open_clip_config.json", "tokenizer.json", "tokenizer_config.json"])
def test_each_file_of_the_clip_is_held_against_its_digest(tiny: Path, file: str) -> None:
    path = tiny / BUNDLED_CLIP / file
    path.write_text(path.read_text() + " ")
    with pytest.raises(Unavailable, match=f"but {file} is pinned to"):
        load_clip(ClipOptions(model=BUNDLED_CLIP, device="cpu").choice)


def test_clip_loads_without_a_network_and_says_what_it_is(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    import torch

    model = load_clip(ClipOptions(model=BUNDLED_CLIP, device="cpu").choice)
    facts = {
        k: model.facts[k] for k in ("model", "weights", "bundled", "domain", "licence", "weights_pinned")
    }
    assert facts == {
        "model": BUNDLED_CLIP,
        "weights": BUNDLED_CLIP,
        "bundled": True,
        "domain": "storyworld",
        "licence": "Apache-2.0",
        "weights_pinned": True,
    }
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert model.facts["preprocessing"]["resize_mode"] == "squash"
    assert model.context_length == 12


def test_clip_loads_where_links_are_not_allowed(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    linked = load_clip(ClipOptions(model=BUNDLED_CLIP, device="cpu").choice).network.state_dict()
    refused = []

    def refuse(self: Path, target: Path) -> None:
        refused.append(self.name)
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(clip_models, "_loaded", {})
    monkeypatch.setattr(Path, "symlink_to", refuse)
    model = load_clip(ClipOptions(model=BUNDLED_CLIP, device="cpu").choice)
    assert set(refused) == {"open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    copied = model.network.state_dict()
    assert copied.keys() == linked.keys()
    assert all(torch.equal(copied[key], linked[key]) for key in linked)
    assert model.unknown_words("a zebra") == ("zebra",)


def test_equals_open_clip_in_its_own_folder(tiny: Path) -> None:
    import numpy as np
    import open_clip
    import torch

    source = f"local-dir:{tiny / BUNDLED_CLIP}"
    network = open_clip.create_model(source, require_pretrained=True).eval()
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer(source)(["a red dog on the beach"])
        expected = network.encode_text(tokens, normalize=True).numpy()
    text = ClipTextExtractor(ClipOptions(model=BUNDLED_CLIP, device="cpu"))
    text.load()
    np.testing.assert_allclose(
        text.extract_texts(["a red dog on the beach"])["embedding"], expected, atol=1e-6
    )


def test_words_it_does_not_know_are_counted_and_named(tiny: Path) -> None:
    text = ClipTextExtractor(ClipOptions(model=BUNDLED_CLIP, device="cpu"))
    text.load()
    features = text.extract_texts(["a dog", "A Zebra is running on a violin"])
    assert features["unknown_count"].tolist() == [0, 2]
    assert features.facts["unknown_words"] == [[], ["Zebra", "violin"]]
    assert features["token_count"].tolist() == [4, 9]
    assert text.extract_texts([])["unknown_count"].shape == (0,)


def test_the_fingerprint_holds_every_file(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ClipOptions(model=BUNDLED_CLIP, device="cpu")
    before = ClipExtractor(options).fingerprint
    assert ClipExtractor(ClipOptions(model="auto", device="cpu")).fingerprint == before
    entry = WEIGHTS[BUNDLED_CLIP]
    other = replace(entry, beside={**entry.beside, "tokenizer.json": "0" * 64})
    monkeypatch.setitem(WEIGHTS, BUNDLED_CLIP, other)
    assert ClipExtractor(options).fingerprint != before


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"model": "storyworld-clap"}, "did you mean 'storyworld-clip'"),
        ({"model": BUNDLED_CLIP, "pretrained": "openai"}, "ships with its own weights"),
        ({"model": "auto", "pretrained": "w.safetensors"}, "ships with its own weights"),
        ({"model": "auto", "pretrained_tag": "openai"}, "for a checkpoint named by its path"),
    ],
)
def test_wrong_options(bad: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ClipOptions(**bad)
    assert ClipOptions(**ClipOptions(model="auto").model_dump()) == ClipOptions(model="auto")
    assert ClipOptions().model == "ViT-B-32"


def test_a_users_config_may_still_name_no_tokenizer(tiny: Path) -> None:
    config = tiny / BUNDLED_CLIP / "open_clip_config.json"
    weights = tiny / "other.safetensors"
    weights.write_bytes(
        (tiny / BUNDLED_CLIP / "tokenizer.json").read_bytes()
    )  # bytes that nothing is known of
    with pytest.raises(Unavailable, match="names a model on a hub"):
        load_clip(ClipChoice("", str(weights), config=str(config), device="cpu"))


def test_a_copy_of_the_weights_is_run_as_what_it_is(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes((tiny / BUNDLED_CLIP / "open_clip_model.safetensors").read_bytes())
    model = load_clip(ClipChoice("ViT-B-32", str(copy), device="cpu"))
    assert (model.facts["weights"], model.facts["bundled"]) == (BUNDLED_CLIP, True)
    assert model.unknown_words("a zebra") == ("zebra",)


def test_public_entries_are_not_bundled() -> None:
    assert {w.name for w in catalogue.WEIGHTS.values() if w.bundled} == set(NAMES)
    assert all(w.repo and (w.revision or w.url) for w in WEIGHTS.values() if not w.bundled)
