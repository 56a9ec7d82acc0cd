"""Two real pipelines of different families, built tiny and loaded from disk: seeds, batches, options, faults."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.tiny_models import save_tiny_text_to_video_sd, save_tiny_wan
from vgaudit.backends.base import BackendContext, Generated, GenerationOutcome, PromptSpec, VideoRequest
from vgaudit.backends.diffusers import DiffusersBackend, DiffusersOptions
from vgaudit.backends.pipeline_call import Answer, Signature, answers, arguments, with_defaults
from vgaudit.errors import BackendError, SuiteError, Unavailable

PROMPTS = [PromptSpec("dog", "a dog on the beach"), PromptSpec("cat", "a cat in the rain")]
VIDEO = VideoRequest(frames=5, width=32, height=32)
STEPS = {"num_inference_steps": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_tiny_text_to_video_sd(folder / "sd")
    save_tiny_wan(folder / "wan")
    return folder


def backend(base: Path, video: VideoRequest = VIDEO, **options: Any) -> DiffusersBackend:
    options = {"device": "cpu", "parameters": STEPS, **options}
    return DiffusersBackend(DiffusersOptions(**options), BackendContext(base, video=video))


def run(generator: DiffusersBackend, seeds: tuple[int, ...] = (0, 1)) -> list[Generated]:
    return list(generator.generate(generator.samples(PROMPTS, seeds)))


def frames(made: list[Generated]) -> np.ndarray[Any, Any]:
    assert [a.message for a in made if a.frames is None] == []
    return np.stack([a.frames for a in made if a.frames is not None])


@pytest.mark.parametrize(("model", "fps"), [("sd", 8), ("wan", 16)])
def test_seeds_repeat_exactly_and_batches_agree(models: Path, model: str, fps: float) -> None:
    made = run(backend(models, model=model))
    clips = frames(made)
    assert clips.shape == (4, 5, 32, 32, 3)
    assert made[0].fps == fps
    assert made[0].facts["dtype"] == "float32"
    assert len({c.tobytes() for c in clips}) == 4
    assert clips.std() > 1
    np.testing.assert_array_equal(frames(run(backend(models, model=model))), clips)
    batched = backend(models, model=model, batch_size=3, parameters={**STEPS, "negative_prompt": "rain"})
    plain = backend(models, model=model, parameters={**STEPS, "negative_prompt": "rain"})
    difference = np.abs(frames(run(batched)).astype(int) - frames(run(plain)))
    assert difference.max() <= 2
    assert batched.fingerprint != plain.fingerprint


def test_a_resumed_batch_is_made_as_it_was(models: Path) -> None:
    generator = backend(models, model="wan", batch_size=3)
    samples = generator.samples(PROMPTS, (0, 1))
    whole = {a.sample.sample_id: a.frames for a in generator.generate(samples)}
    rest = list(generator.generate([samples[1]]))
    assert [a.sample for a in rest] == [samples[1]]
    np.testing.assert_array_equal(rest[0].frames, whole[samples[1].sample_id])


def test_fingerprint_follows_weights_and_parameters(models: Path, tmp_path: Path) -> None:
    def fingerprint(base: Path, **options: Any) -> str:
        return backend(base, model="wan", **options).fingerprint

    same = fingerprint(models)
    assert fingerprint(models) == same
    shutil.copytree(models / "wan", tmp_path / "wan")
    assert fingerprint(tmp_path) == same
    (tmp_path / "wan" / "README.md").write_text("words")
    assert fingerprint(tmp_path) == same
    others = [
        fingerprint(models, parameters={"num_inference_steps": 3}),
        fingerprint(models, dtype="bfloat16"),
        fingerprint(models, fps=12),
        fingerprint(models, batch_size=2),
    ]
    weights = next((tmp_path / "wan" / "transformer").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert len({same, fingerprint(tmp_path), *others}) == 6


def test_dtype_for_each_component(models: Path) -> None:
    made = run(backend(models, model="wan", dtype={"default": "bfloat16", "vae": "float32"}), (0,))
    assert frames(made).shape == (2, 5, 32, 32, 3)


def test_a_broken_network_gives_errors_not_black_clips(models: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(models / "sd", tmp_path / "sd")
    weights = next((tmp_path / "sd" / "vae").glob("*.safetensors"))
    state = load_file(weights)
    state["decoder.conv_out.bias"].fill_(float("nan"))
    save_file(state, weights, metadata={"format": "pt"})
    made = run(backend(tmp_path, model="sd"), (0,))
    assert {a.outcome for a in made} == {GenerationOutcome.ERROR}
    assert "100.0% of the values are NaN or infinite" in made[0].message


def test_a_size_the_pipeline_refuses_is_an_error_of_the_sample(models: Path) -> None:
    made = run(backend(models, VideoRequest(frames=5, width=33, height=32), model="wan"), (0,))
    assert {a.outcome for a in made} == {GenerationOutcome.ERROR}
    assert "divisible by 16" in made[0].message


def hub_cache(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model as the hub's cache on this machine would hold it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hub" / "models--tiny--wan"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    shutil.copytree(model, folder / "snapshots" / commit)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return commit


def test_a_hub_model_is_taken_from_the_cache_by_commit(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(tmp_path, models / "wan", monkeypatch)
    cached = backend(tmp_path, model="tiny/wan", local_files_only=True)
    made = run(cached, (0,))
    assert frames(made).shape == (2, 5, 32, 32, 3)
    assert made[0].sample.group == "tiny/wan"
    assert cached.fingerprint == backend(tmp_path, model="tiny/wan", local_files_only=True).fingerprint
    with pytest.raises(
        Unavailable, match=r"model tiny/absent is not in the local cache.*hf download tiny/absent"
    ):
        backend(tmp_path, model="tiny/absent", local_files_only=True)
    with pytest.raises(Unavailable, match=r"tiny/wan at v2 .*hf download tiny/wan --revision v2"):
        backend(tmp_path, model="tiny/wan", revision="v2", local_files_only=True)


def silent_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with socket.socket() as listener:  # bound and closed: nothing listens there
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")


def test_a_hub_that_does_not_answer_costs_seconds_at_most(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache(tmp_path, models / "wan", monkeypatch)
    silent_hub(monkeypatch)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=r"not in the local cache, and the hub cannot be reached"):
        backend(tmp_path, model="tiny/absent")
    assert time.monotonic() - begun < 6
    # What is in the cache is made without the hub, and without being told so.
    begun = time.monotonic()
    assert frames(run(backend(tmp_path, model="tiny/wan"), (0,))).shape == (2, 5, 32, 32, 3)
    assert time.monotonic() - begun < 12
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="and HF_HUB_OFFLINE is set"):
        backend(tmp_path, model="tiny/absent")


def rewritten(models: Path, tmp_path: Path, **changes: Any) -> Path:
    shutil.copytree(models / "wan", tmp_path / "wan")
    path = tmp_path / "wan" / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return tmp_path


def test_code_that_comes_with_a_model_is_not_run(models: Path, tmp_path: Path) -> None:
    base = rewritten(models, tmp_path, _class_name=["pipeline", "MyPipeline"])
    with pytest.raises(BackendError, match="brings its own Python code, which vgaudit does not run"):
        backend(base, model="wan")
    shutil.rmtree(tmp_path / "wan")
    base = rewritten(models, tmp_path, transformer=["my_transformer", "MyTransformer"])
    (base / "wan" / "transformer" / "my_transformer.py").write_text("raise SystemExit('ran')")
    with pytest.raises(BackendError, match="brings its own Python code"):
        backend(base, model="wan")


def test_missing_weights_name_the_remedy(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "wan", tmp_path / "wan")
    next((tmp_path / "wan" / "vae").glob("*.safetensors")).unlink()
    with pytest.raises(Unavailable, match=r"weights of wan are missing: .*save the pipeline again"):
        run(backend(tmp_path, model="wan"))


def test_wrong_models(models: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        SuiteError, match=r"model: empty has no model_index.json; expected a folder written by"
    ):
        backend(tmp_path, model="empty")
    with pytest.raises(SuiteError, match=r"'nowhere' is neither a folder .* nor a hub id"):
        backend(tmp_path, model="nowhere")
    with pytest.raises(SuiteError, match="`revision` is for hub models"):
        backend(models, model="wan", revision="main")
    (tmp_path / "empty" / "model_index.json").write_text("{")
    with pytest.raises(SuiteError, match=r"model_index.json cannot be read"):
        backend(tmp_path, model="empty")
    (tmp_path / "empty" / "model_index.json").write_text("{}")
    with pytest.raises(SuiteError, match="names no `_class_name`"):
        backend(tmp_path, model="empty")


def test_wrong_pipelines_and_parameters(models: Path) -> None:
    with pytest.raises(SuiteError, match="the frame rate of NoSuchPipeline is not known; set `fps`"):
        backend(models, model="wan", pipeline="NoSuchPipeline")
    with pytest.raises(SuiteError, match=r"has no pipeline 'WanPipline'; did you mean 'WanPipeline'\?"):
        run(backend(models, model="wan", pipeline="WanPipline", fps=8))
    wrong = backend(models, model="wan", parameters={"steps": 3, "num_frames": 9})
    with pytest.raises(SuiteError) as error:
        run(wrong)
    assert "parameters: WanPipeline takes no 'steps'" in str(error.value)
    assert "num_inference_steps" in str(error.value)
    assert "num_frames is 9, but `video.frames` is 5; keep one" in str(error.value)
    with pytest.raises(BackendError, match="`offload: model` needs a GPU"):
        run(backend(models, model="wan", offload="model"))
    with pytest.raises(SuiteError, match="expected `prompts` in the suite"):
        backend(models, model="wan").samples([], (0,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": {"prompt": "x"}}, "'prompt' is set by vgaudit"),
        ({"parameters": {"generator": 1}}, "'generator' is set by vgaudit"),
        ({"parameters": {"output_type": "latent"}}, "output_type 'latent': expected 'np' or 'pt'"),
        ({"dtype": "int8"}, "dtype"),
        ({"batch_size": 0}, "greater than or equal to 1"),
        ({"fps": 0}, "greater than 0"),
        ({"trust_remote_code": True}, "Extra inputs are not permitted"),
        ({"pipeline": "os.system"}, "String should match pattern"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DiffusersOptions(**{"model": "wan", **options})


def test_a_request_is_mapped_onto_what_a_pipeline_calls_it() -> None:
    latte = Signature("Latte", ("prompt", "video_length", "height", "width", "output_type"), True)
    assert arguments(latte, {}, VideoRequest(8, 24.0, 64, 32)) == {
        "video_length": 8,
        "width": 64,
        "height": 32,
        "output_type": "np",
    }
    ltx = Signature("LTX", ("prompt", "num_frames", "frame_rate", "return_dict"), True)
    assert arguments(ltx, {"frame_rate": 30}, VideoRequest(8, 24.0)) == {
        "num_frames": 8,
        "frame_rate": 30,
        "return_dict": True,
    }


def test_a_model_s_defaults_stand_where_nobody_asks_for_anything_else() -> None:
    defaults = {"num_frames": 17, "width": 64, "height": 64, "num_inference_steps": 12}
    assert with_defaults(defaults, {}, VideoRequest()) == defaults
    assert with_defaults(defaults, {"num_inference_steps": 4}, VideoRequest(frames=9)) == {
        "width": 64,
        "height": 64,
        "num_inference_steps": 4,
    }


def test_a_pipeline_that_asks_for_a_rate_is_told_the_one_that_is_stored(tmp_path: Path) -> None:
    made = backend(tmp_path, VideoRequest(), model="storyworld-t2v")
    changed = backend(tmp_path, VideoRequest(fps=4), model="storyworld-t2v")
    told: list[dict[str, Any]] = []
    for generator in (made, changed):
        samples = generator.samples(PROMPTS[:1], (0,))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "vgaudit.backends.diffusers.call",
                lambda pipeline, signature, fixed, prompts, generators: (
                    told.append(dict(fixed)) or [Answer(np.zeros((17, 64, 64, 3), np.uint8))]
                ),
            )
            (clip,) = generator.generate(samples)
        assert clip.fps == told[-1]["frame_rate"]
    assert [t["frame_rate"] for t in told] == [8, 4]
    with pytest.raises(SuiteError, match="frame_rate is 25, but clips would be stored at 8 frames"):
        backend(tmp_path, VideoRequest(fps=8), model="storyworld-t2v", parameters={"frame_rate": 25})
    alone = backend(tmp_path, VideoRequest(), model="storyworld-t2v", parameters={"frame_rate": 25})
    assert alone._fps == 25
    assert {t["num_frames"] for t in told} == {17}
    assert made.domain == "storyworld"
    assert "small model that ships with vgaudit" in made.notes[0]
    assert made.fingerprint != changed.fingerprint


def test_flagged_outputs_are_refused_not_scored() -> None:
    clips = np.full((2, 3, 4, 4, 3), 0.5, dtype=np.float32)
    first, second = answers(SimpleNamespace(frames=clips, nsfw_content_detected=[False, True]), 2)
    assert (first.refused, second.refused, second.frames) == (False, True, None)
    per_frame = answers(SimpleNamespace(images=clips[0], nsfw_content_detected=[False, True, False]), 1)
    assert per_frame[0].refused
    nothing = answers(SimpleNamespace(frames=None, nsfw_content_detected=[True, True]), 2)
    assert [a.refused for a in nothing] == [True, True]
    assert nothing[0].message == "the pipeline's safety checker flagged the output"


def test_answers_that_do_not_fit() -> None:
    with pytest.raises(BackendError, match="without any of frames, videos"):
        answers(SimpleNamespace(audio=1), 1)
    with pytest.raises(BackendError, match="returned 2 clips for 3 prompts"):
        answers(SimpleNamespace(frames=np.zeros((2, 3, 4, 4, 3), np.float32)), 3)
    latents = answers(SimpleNamespace(frames=torch.zeros(1, 4, 2, 8, 8)), 1)
    assert "are these latents?" in latents[0].message
