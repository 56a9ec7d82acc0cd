from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.tiny_clip import save_tiny_clip
from vgaudit.errors import Unavailable
from vgaudit.extractors.base import Features
from vgaudit.extractors.clip import ClipExtractor, ClipOptions, ClipTextExtractor
from vgaudit.video import ClipInfo, Frames
from vgaudit.zoo import devices

INFO = ClipInfo("c.mp4", 50, 38, 10.0, 11, 1.1, "h264", "mp4", "yuv420p")
VIDEO = np.random.default_rng(0).integers(0, 256, (11, 38, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_tiny_clip(tmp_path_factory.mktemp("tiny_clip"))


def options(tiny: tuple[Path, Path], **more: object) -> ClipOptions:
    return ClipOptions(**{"config": str(tiny[0]), "pretrained": str(tiny[1]), "device": "cpu", **more})


def extract(chosen: ClipOptions, block: int = 11, video: np.ndarray = VIDEO) -> Features:
    extractor = ClipExtractor(chosen)
    extractor.load()
    extraction = extractor.start(INFO)
    for start in range(0, len(video), block):
        part = video[start : start + block]
        extraction.push(Frames(part, start, (start + np.arange(len(part))) / 10))
    return extraction.finish()


def test_equals_open_clip_frame_by_frame(tiny: tuple[Path, Path]) -> None:
    import open_clip
    import torch

    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny[0].parent}")
    network.eval()
    with torch.inference_mode():
        expected = torch.cat(
            [network.encode_image(preprocess(Image.fromarray(f))[None], normalize=True) for f in VIDEO]
        ).numpy()
        tokens = open_clip.get_tokenizer(f"local-dir:{tiny[0].parent}")(["a dog walking along the beach"])
        expected_text = network.encode_text(tokens, normalize=True).numpy()
    features = extract(options(tiny))
    assert features["embedding"].dtype == np.float32
    np.testing.assert_allclose(features["embedding"], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features["embedding"], axis=1), 1, atol=1e-5)
    assert not np.allclose(features["embedding"][0], features["embedding"][1], atol=1e-4)
    text = ClipTextExtractor(options(tiny))
    text.load()
    np.testing.assert_allclose(
        text.extract_texts(["a dog walking along the beach"])["embedding"], expected_text, atol=1e-5
    )


@pytest.mark.parametrize(("batch_size", "block"), [(1, 11), (4, 3), (32, 1)])
def test_batches_and_blocks_move_no_number(tiny: tuple[Path, Path], batch_size: int, block: int) -> None:
    one, other = extract(options(tiny)), extract(options(tiny, batch_size=batch_size), block)
    np.testing.assert_allclose(one["embedding"], other["embedding"], atol=1e-5)
    if batch_size == 32:  # the batches are the same ones, so the bytes are too
        np.testing.assert_array_equal(one["embedding"], other["embedding"])


def test_every_third_frame_whatever_the_blocks(tiny: tuple[Path, Path]) -> None:
    for block in (1, 4, 11):
        features = extract(options(tiny, every=3), block)
        assert features["frame_index"].tolist() == [0, 3, 6, 9]
        np.testing.assert_allclose(features["pts_s"], [0, 0.3, 0.6, 0.9])
    np.testing.assert_allclose(features["embedding"], extract(options(tiny))["embedding"][::3], atol=1e-5)


def test_no_frame_gives_no_row(tiny: tuple[Path, Path]) -> None:
    features = extract(options(tiny), video=VIDEO[:0])
    assert features["embedding"].shape == (0, 16)
    assert features["pts_s"].shape == (0,)


def test_texts_do_not_change_each_other(tiny: tuple[Path, Path]) -> None:
    extractor = ClipTextExtractor(options(tiny))
    extractor.load()
    long = "word " * 100
    together = extractor.extract_texts(["a dog", long, "Ein Hund, 犬, 🐕"])
    alone = extractor.extract_texts(["a dog"])
    np.testing.assert_array_equal(together["embedding"][:1], alone["embedding"])
    assert together["token_count"].tolist()[:2] == [4, 102]
    assert together["truncated"].tolist() == [False, True, False]
    assert together.facts["context_length"] == 77
    assert together.facts["logit_scale"] == pytest.approx(1 / 0.07, rel=1e-4)
    assert extractor.extract_texts([])["embedding"].shape == (0, 16)


def test_both_towers_are_loaded_once(tiny: tuple[Path, Path]) -> None:
    frames, text = ClipExtractor(options(tiny)), ClipTextExtractor(options(tiny))
    frames.load()
    text.load()
    assert frames._model is text._model


def test_facts_name_the_weights(tiny: tuple[Path, Path]) -> None:
    facts = extract(options(tiny)).facts
    assert facts["weights"] == "tiny_clip.safetensors"
    assert len(facts["weights_sha256"]) == 64
    assert facts["weights_pinned"] is False
    assert facts["device"] == "cpu"


def test_fingerprint_holds_bytes_and_not_the_place(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    one = ClipExtractor(options(tiny)).fingerprint
    same = save_tiny_clip(tmp_path / "same")
    assert ClipExtractor(options(same)).fingerprint == one
    other = save_tiny_clip(tmp_path / "other", seed=1)
    assert ClipExtractor(options(other)).fingerprint != one
    config = json.loads(same[0].read_text())
    config["preprocess_cfg"]["mean"] = [0.0, 0.0, 0.0]
    same[0].write_text(json.dumps(config))
    assert ClipExtractor(options(same)).fingerprint != one
    assert ClipExtractor(options(tiny, batch_size=8)).fingerprint != one
    assert (
        ClipTextExtractor(options(tiny, batch_size=8)).fingerprint
        == ClipTextExtractor(options(tiny)).fingerprint
    )


def test_constructing_imports_no_torch(tiny: tuple[Path, Path]) -> None:
    code = (
        "import sys; from vgaudit.extractors.clip import ClipExtractor, ClipOptions;"
        f"ClipExtractor(ClipOptions(config={str(tiny[0])!r}, pretrained={str(tiny[1])!r}));"
        "ClipExtractor(ClipOptions(model='openai/ViT-B-32'));"
        "sys.exit(any(m in sys.modules for m in ('torch', 'open_clip')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_spellings_are_one_model() -> None:
    a, b = ClipOptions(), ClipOptions(model="openai/ViT-B-32")
    assert (a.model, a.pretrained) == ("ViT-B-32", "openai")
    assert a == b
    assert ClipOptions(**a.model_dump()) == a
    assert ClipOptions(model="laion/ViT-B-32").pretrained == "laion2b_s34b_b79k"


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"model": "ViT-B-23"}, "did you mean 'ViT-B-32'"),
        ({"config": "c.json"}, "name its checkpoint"),
        ({"config": "c.json", "pretrained": "w.pt", "model": "ViT-B-32"}, "keep one"),
        ({"config": "c.json", "pretrained": "w.pt", "pretrained_tag": "openai"}, "keep one"),
        ({"pretrained_tag": "openai"}, "for a checkpoint named by its path"),
        ({"every": 0}, "greater than or equal to 1"),
        ({"sha256": "abc"}, "pattern"),
        ({"modle": "ViT-B-32"}, "Extra inputs"),
        ({"precision": "fp16"}, "fp32"),
    ],
)
def test_wrong_options(bad: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ClipOptions(**bad)


def test_using_it_before_load(tiny: tuple[Path, Path]) -> None:
    with pytest.raises(RuntimeError, match="load"):
        ClipExtractor(options(tiny)).start(INFO)
    with pytest.raises(RuntimeError, match="load"):
        ClipTextExtractor(options(tiny)).extract_texts(["x"])


def test_digest_that_does_not_match(tiny: tuple[Path, Path]) -> None:
    with pytest.raises(Unavailable, match="is pinned to 0000"):
        ClipExtractor(options(tiny, sha256="0" * 64)).load()


def test_checkpoint_of_another_model(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    config = json.loads(tiny[0].read_text())
    config["model_cfg"]["vision_cfg"]["width"] = 48
    (tmp_path / "wider.json").write_text(json.dumps(config))
    with pytest.raises(Unavailable, match=r"does not load as .*wider\.json: RuntimeError.{1,500}$"):
        ClipExtractor(options((tmp_path / "wider.json", tiny[1]))).load()


def test_facts_say_how_the_network_is_run(tiny: tuple[Path, Path]) -> None:
    facts = extract(options(tiny)).facts
    assert facts["activation"] == "GELU"
    assert facts["settings"] == "config"
    assert facts["preprocessing"] == {
        "size": [32, 32],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    json.dumps(dict(facts), allow_nan=False)


def test_local_checkpoint_of_a_named_model_is_not_run_on_a_guess(tiny: tuple[Path, Path]) -> None:
    with pytest.raises(Unavailable, match="differ in quick_gelu; state the tag it comes from"):
        ClipExtractor(ClipOptions(model="ViT-B-32", pretrained=str(tiny[1]), device="cpu")).load()
    with pytest.raises(Unavailable, match="publishes no weights of ViT-S-32-alt"):
        ClipExtractor(ClipOptions(model="ViT-S-32-alt", pretrained=str(tiny[1]), device="cpu")).load()
    tagged = ClipOptions(model="ViT-B-32", pretrained=str(tiny[1]), pretrained_tag="openia", device="cpu")
    with pytest.raises(Unavailable, match="did you mean 'openai'"):
        ClipExtractor(tagged).load()


def test_tag_of_a_local_checkpoint_is_part_of_the_fingerprint(tiny: tuple[Path, Path]) -> None:
    local = {"model": "ViT-B-32", "pretrained": str(tiny[1]), "device": "cpu"}
    tags = (None, "openai", "laion2b_s34b_b79k")
    prints = {ClipExtractor(ClipOptions(**local, pretrained_tag=tag)).fingerprint for tag in tags}
    assert len(prints) == 3
    by_publisher = ClipOptions(**{**local, "model": "openai/ViT-B-32"})
    assert by_publisher == ClipOptions(**local, pretrained_tag="openai")
    assert ClipOptions(**by_publisher.model_dump()) == by_publisher


def test_plain_tensors_load_and_a_pickle_does_not(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    state = load_file(tiny[1])
    torch.save(state, tmp_path / "plain.pt")
    plain = extract(options((tiny[0], tmp_path / "plain.pt")))
    np.testing.assert_array_equal(plain["embedding"], extract(options(tiny))["embedding"])

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "executed",)

    torch.save({"state_dict": state, "extra": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(Unavailable, match="does not load"):
        extract(options((tiny[0], tmp_path / "evil.pt")))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "no CLIP config"),
        ("[]", "no CLIP config"),
        ('{"embed_dim": 4}', "vision_cfg"),
        ('{"vision_cfg": {}, "text_cfg": {"hf_model_name": "a/b"}}', "hub"),
        ('{"vision_cfg": {"timm_model_name": "hf-hub:a/b"}, "text_cfg": {}}', "hub"),
        (
            '{"embed_dim": 4, "vision_cfg": {}, "text_cfg": {}}',
            "lacks preprocess_cfg.mean and preprocess_cfg.std",
        ),
        (
            '{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": {"mean": [0, 0, 0]}}',
            "lacks .*std",
        ),
        ('{"model_cfg": {"vision_cfg": {}, "text_cfg": {}}, "preprocess_cfg": 3}', "no CLIP config"),
        (
            '{"model_cfg": {"embed_dim": 4, "vision_cfg": {"nonsense": 1}, "text_cfg": {}},'
            ' "preprocess_cfg": {"mean": [0, 0, 0], "std": [1, 1, 1]}}',
            "does not load",
        ),
    ],
)
def test_configs_that_cannot_be_used(
    tiny: tuple[Path, Path], tmp_path: Path, content: str, text: str
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(Unavailable, match=text):
        ClipExtractor(options((tmp_path / "config.json", tiny[1]))).load()


def test_clips_in_progress_at_once_do_not_mix(tiny: tuple[Path, Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    extractor = ClipExtractor(options(tiny, batch_size=4))
    extractor.load()
    videos = [np.roll(VIDEO, i, axis=2) for i in range(6)]

    def one(video: np.ndarray) -> np.ndarray:
        extraction = extractor.start(INFO)
        for start in range(len(video)):
            extraction.push(Frames(video[start : start + 1], start, np.array([start / 10])))
        return extraction.finish()["embedding"]

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(one, videos))
    for video, embedding in zip(videos, together, strict=True):
        np.testing.assert_allclose(embedding, one(video), atol=1e-6)


def test_fingerprint_holds_the_class_of_device_and_the_release_of_torch(
    tiny: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_torch_has_cuda", lambda: True)
    monkeypatch.setattr(devices, "_driver_counts_gpus", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    prints = {d: ClipExtractor(options(tiny, device=d)).fingerprint for d in ("auto", "cpu", "cuda")}
    assert prints["auto"] == prints["cpu"] != prints["cuda"]
    monkeypatch.setattr(devices, "_driver_counts_gpus", lambda: True)
    assert ClipExtractor(options(tiny, device="auto")).fingerprint == prints["cuda"]
    monkeypatch.setattr(devices, "version", lambda package: "9.9.1")
    assert ClipExtractor(options(tiny, device="cpu")).fingerprint != prints["cpu"]
