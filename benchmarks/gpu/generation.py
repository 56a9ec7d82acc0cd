"""What ``vgaudit generate`` takes over the bare diffusers loop, with the architecture of Wan 2.1 1.3B.

Weights are random and saved, so that the backend loads them as it loads any model. The very pipeline that it loaded
then runs the bare loop too: same prompt, seeds, steps, size, frames and precision, by turns. The text encoder has the
full width and two of 24 layers; a slower one would only hide more of what is looked for.

The overhead is that of a clip's cycle, from the start of one call of the pipeline to the start of the next. What a
run takes once (its suite, folder and manifest before the first call, the last clips' encoding after the last one) is
printed beside it; so is the whole, for as few clips as were made.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.measure import Report, Utilisation, ceilings, kernel_share, table, work_of
from vgaudit.backends import diffusers as backend_module
from vgaudit.backends.video_output import to_uint8_clips
from vgaudit.pipeline.prepare import prepare
from vgaudit.pipeline.run import execute
from vgaudit.suite import load_suite
from vgaudit.video.encoding import EncoderSettings, encode

NEEDED = 0.02
PROMPT = "a dog runs on the beach at sunset"
FPS = 16
USUAL_STEPS = 50
ROUNDS, TOY_ROUNDS = 3, 1


@dataclass(frozen=True)
class Size:
    """Of the networks and of what they make."""

    transformer: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    height: int
    width: int
    frames: int
    tokens: int


FULL = Size(
    transformer={
        "patch_size": (1, 2, 2), "num_attention_heads": 12, "attention_head_dim": 128, "in_channels": 16,
        "out_channels": 16, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 8960, "num_layers": 30,
        "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "eps": 1e-6, "rope_max_seq_len": 1024,
    },
    vae={},  # the defaults are Wan 2.1's
    text={"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_heads": 64, "num_layers": 2},
    height=480, width=832, frames=33, tokens=512,
)  # fmt: skip
TOY = Size(
    transformer={
        "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16,
        "out_channels": 16, "text_dim": 32, "freq_dim": 64, "ffn_dim": 32, "num_layers": 1,
        "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32,
    },
    vae={
        "base_dim": 3, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    },
    text={"d_model": 32, "d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 1},
    height=32, width=32, frames=5, tokens=32,
)  # fmt: skip


class Watched:
    """A pipeline that notes when each of its calls began and ended."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.calls: list[tuple[float, float]] = []

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        begin = time.perf_counter()
        out = self.pipeline(*args, **keywords)
        self.calls.append((begin, time.perf_counter()))
        return out

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipeline, name)

    def taken(self) -> list[tuple[float, float]]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


def save_model(folder: Path, size: Size, device: str) -> float:
    """Build the pipeline with random weights and save it; its parameters in billions."""
    import diffusers
    import transformers
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        transformer = WanTransformer3DModel(**size.transformer).to(kind)
        vae = AutoencoderKLWan(**size.vae).to(kind)
        config = UMT5Config(vocab_size=64, is_encoder_decoder=False, **size.text)
        text = UMT5EncoderModel(config).to(kind)
    pipeline = WanPipeline(
        transformer=transformer,
        vae=vae,
        text_encoder=text,
        tokenizer=_tokenizer(size.tokens),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )
    pipeline.save_pretrained(folder)
    count = sum(p.numel() for part in (transformer, vae, text) for p in part.parameters())
    del pipeline, transformer, vae, text
    if device == "cuda":
        torch.cuda.empty_cache()
    return count / 1e9


def _tokenizer(length: int) -> Any:
    """A tokenizer of a few words; what it does not know is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *sorted(set(PROMPT.split()))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
    )


class Bench:
    """The model on disk, the pipeline that the backend loads from it, and both ways to drive it."""

    def __init__(self, work: Path, size: Size, device: str) -> None:
        self.work, self.size, self.device = work, size, device
        self.runs = 0
        self.load_s = 0.0
        self._pipeline: Watched | None = None
        self._load = backend_module._load
        backend_module._load = self._load_once

    def _load_once(self, *args: Any) -> Watched:
        """What the backend loads, loaded the first time only: both ways shall use one pipeline."""
        if self._pipeline is None:
            begin = time.perf_counter()
            self._pipeline = Watched(self._load(*args))
            self.load_s = time.perf_counter() - begin
        return self._pipeline

    @property
    def pipeline(self) -> Watched:
        if self._pipeline is None:
            raise RuntimeError("let the backend load the pipeline first")
        return self._pipeline

    def close(self) -> None:
        backend_module._load = self._load

    def bare(self, seed: int, steps: int) -> Any:
        """A clip of the plain loop: frames as diffusers gives them."""
        generator = torch.Generator("cpu").manual_seed(seed)
        with torch.inference_mode():
            return self.pipeline(
                prompt=PROMPT, generator=generator, output_type="np", **self.keywords(steps)
            ).frames

    def keywords(self, steps: int) -> dict[str, Any]:
        size = self.size
        return {
            "num_frames": size.frames, "height": size.height, "width": size.width, "num_inference_steps": steps,
            "guidance_scale": 5.0, "max_sequence_length": size.tokens,
        }  # fmt: skip

    def prepared(self, seeds: list[int], steps: int) -> Any:
        """The suite of a run with these clips, prepared as the command line does it."""
        size = self.size
        path = self.work / "suite.yaml"
        path.write_text(
            f"name: gpu\nprompts: ['{PROMPT}']\nseeds: {seeds}\n"
            f"backend: {{type: diffusers, model: model, device: {self.device}, parameters: {{num_inference_steps: "
            f"{steps}, guidance_scale: 5.0, max_sequence_length: {size.tokens}}}}}\n"
            f"video: {{frames: {size.frames}, fps: {FPS}, width: {size.width}, height: {size.height}}}\n"
            "metrics: {vbench: {dimensions: [temporal_flickering]}}\n"
        )
        return prepare(load_suite(path))

    def ours(self, seeds: list[int], steps: int) -> tuple[Path, float, float]:
        """``vgaudit generate``: the run's folder, its start and its end."""
        self.runs += 1
        out = self.work / f"run-{self.runs}"
        begin = time.perf_counter()
        execute(self.prepared(seeds, steps), out, generate_only=True)
        end = time.perf_counter()
        made = len(list((out / "clips").glob("*.mp4")))
        if made != len(seeds):
            raise RuntimeError(f"{made} of {len(seeds)} clips were made: see the records in {out / 'clips'}")
        return out, begin, end


def measure(
    report: Report, work: Path, device: str, *, toy: bool, seconds: float, steps: int | None, clips: int | None,
    frames: int | None,
) -> bool:  # fmt: skip
    """Fill the report; whether the overhead is small enough."""
    from dataclasses import replace

    size = TOY if toy else FULL
    size = replace(size, frames=frames) if frames else size
    begin = time.perf_counter()
    billions = save_model(work / "model", size, device)
    saved = time.perf_counter() - begin
    bench = Bench(work, size, device)
    try:
        return _measure(report, bench, billions, saved, toy=toy, seconds=seconds, steps=steps, clips=clips)
    finally:
        bench.close()


def _measure(
    report: Report, bench: Bench, billions: float, saved: float, *, toy: bool, seconds: float, steps: int | None,
    clips: int | None,
) -> bool:  # fmt: skip
    device, size = bench.device, bench.size
    begin = time.perf_counter()
    bench.ours([0], 2)  # loads the pipeline and warms it up
    first_run = time.perf_counter() - begin
    dtype = str(bench.pipeline.dtype).removeprefix("torch.")
    print(
        f"{billions:.2f} billion parameters, {dtype}; saved in {saved:.1f} s, loaded in {bench.load_s:.1f} s; first "
        f"run {first_run:.1f} s", flush=True,
    )  # fmt: skip
    same, frame_stats = _same_frames(bench)
    report.add("same_frames_as_bare", same)
    report.add("frames", frame_stats)
    print(f"frames of the backend equal those of the bare call: {same}; {frame_stats}", flush=True)

    took = {}
    for count in (2, 6):
        begin = time.perf_counter()
        bench.bare(0, count)
        took[count] = time.perf_counter() - begin
    step_s = max((took[6] - took[2]) / 4, 1e-4)
    rest_s = max(took[2] - 2 * step_s, 0.0)
    rounds = TOY_ROUNDS if toy else ROUNDS
    clips = clips or (2 if toy else 3)
    if steps is None:
        steps = 2 if toy else int(np.clip((seconds / (2 * rounds * clips) - rest_s) / step_s, 4, USUAL_STEPS))
    print(
        f"a step {step_s:.3f} s, the rest of a call {rest_s:.2f} s; {rounds} rounds of {clips} clips each way, "
        f"{steps} steps, {size.frames} frames of {size.width}x{size.height}", flush=True,
    )  # fmt: skip
    report.add(
        "model",
        {"parameters_billion": billions, "dtype": dtype, "save_s": saved, "load_s": bench.load_s,
         "step_s": step_s, "rest_s": rest_s},
    )  # fmt: skip
    report.add(
        "asked",
        {"steps": steps, "clips": clips, "rounds": rounds, "frames": size.frames, "height": size.height,
         "width": size.width, "guidance_scale": 5.0, "text_layers": size.text["num_layers"]},
    )  # fmt: skip

    found = []
    bench.pipeline.taken()
    watched = Utilisation(device)
    with watched:
        for number in range(rounds):
            seeds = [100 * number + i for i in range(clips)]
            found.append(_round(bench, seeds, steps))
            report.add("rounds", found)
            table(list(found[-1]), [list(found[-1].values())])
    report.add("utilisation_both_ways", watched.facts())
    good = _conclude(report, found, steps, step_s, toy=toy)
    _encoding(report, bench)
    _transformer(report, bench, step_s, toy=toy)
    return good


def _same_frames(bench: Bench) -> tuple[bool, dict[str, Any]]:
    """Whether the backend hands on what the bare call gives; and what the frames are like."""
    prepared = bench.prepared([7], 2)
    backend = prepared.backends[0]
    made = next(iter(backend.generate(list(prepared.plan))))
    if made.frames is None:
        raise RuntimeError(f"the backend made no clip: {made.message}")
    bare = to_uint8_clips(bench.bare(7, 2))[0]
    facts = {
        "shape": list(made.frames.shape),
        "mean": float(made.frames.mean()),
        "std": float(made.frames.std()),
    }
    return bool(np.array_equal(made.frames, bare)), facts


def _round(bench: Bench, seeds: list[int], steps: int) -> dict[str, float]:
    """One turn of each: the bare loop, then a run."""
    begin = time.perf_counter()
    for seed in seeds:
        bench.bare(seed, steps)
    bare_whole = time.perf_counter() - begin
    bare = bench.pipeline.taken()
    _, begin, end = bench.ours(seeds, steps)
    ours = bench.pipeline.taken()

    def cycle(calls: list[tuple[float, float]]) -> float:
        return (calls[-1][0] - calls[0][0]) / (len(calls) - 1)

    return {
        "bare_cycle_s": cycle(bare),
        "ours_cycle_s": cycle(ours),
        "overhead": cycle(ours) / cycle(bare) - 1,
        "bare_call_s": statistics.fmean(b - a for a, b in bare),
        "ours_call_s": statistics.fmean(b - a for a, b in ours),
        "before_s": ours[0][0] - begin,
        "after_s": end - ours[-1][1],
        "bare_whole_s": bare_whole,
        "ours_whole_s": end - begin,
    }


def _encoding(report: Report, bench: Bench) -> None:
    """What storing a clip takes by itself."""
    frames = to_uint8_clips(bench.bare(1, 2))[0]
    output = frames.astype(np.float32)[None] / 255
    begin = time.perf_counter()
    to_uint8_clips(output)
    converted = time.perf_counter() - begin
    target = bench.work / "one.mp4"
    begin = time.perf_counter()
    encode(frames, FPS, target, EncoderSettings())
    took = time.perf_counter() - begin
    facts = {"to_uint8_s": converted, "encode_s": took, "bytes": target.stat().st_size}
    report.add("storing_a_clip", facts)
    print(
        f"of a clip alone: to uint8 {converted:.2f} s, encoding {took:.2f} s, {facts['bytes']} bytes",
        flush=True,
    )


def _transformer(report: Report, bench: Bench, step_s: float, *, toy: bool) -> None:
    """The transformer's forward against what the card does at best."""
    best = ceilings(bench.device, toy)
    pipeline, size = bench.pipeline.pipeline, bench.size
    network = pipeline.transformer
    shape = (
        1, network.config.in_channels, (size.frames - 1) // pipeline.vae_scale_factor_temporal + 1,
        size.height // pipeline.vae_scale_factor_spatial, size.width // pipeline.vae_scale_factor_spatial,
    )  # fmt: skip
    latents = torch.randn(shape, device=bench.device, dtype=network.dtype)
    words = torch.randn(1, size.tokens, network.config.text_dim, device=bench.device, dtype=network.dtype)
    moment = torch.tensor([500], device=bench.device)

    def forward() -> Any:
        with torch.no_grad():
            return network(latents, moment, words, return_dict=False)

    flops, moved = work_of(forward)
    precision = "bf16" if bench.device == "cuda" else "fp32"
    per_forward = step_s / 2  # guidance calls it twice
    floor, bound = best.floor(flops, moved, precision)
    facts = {
        "ceilings": {"tflops": dict(best.tflops), "copy_gbs": best.copy_gbs},
        "tflop_per_forward": flops / 1e12,
        "gb_per_forward": moved / 1e9,
        "forward_s": per_forward,
        "tflops": flops / per_forward / 1e12,
        "share_of_ceiling": floor / per_forward,
        "bound": bound,
        "kernels": kernel_share(forward, bench.device),
    }
    report.add("transformer", facts)
    print(
        f"transformer: {facts['tflop_per_forward']:.3g} TFLOP a forward, {facts['tflops']:.4g} TFLOP/s, "
        f"{facts['share_of_ceiling']:.1%} of a {precision} product's {best.tflops[precision]:.4g} ({bound})",
        flush=True,
    )


def _conclude(report: Report, found: list[dict[str, float]], steps: int, step_s: float, *, toy: bool) -> bool:
    """Medians with their spread, and what they make of a run of the usual length (computed, not measured)."""
    overheads = [row["overhead"] for row in found]
    extra = statistics.median(row["ours_cycle_s"] - row["bare_cycle_s"] for row in found)
    bare = statistics.median(row["bare_cycle_s"] for row in found)
    once = statistics.median(row["before_s"] + row["after_s"] for row in found)
    usual = bare + max(USUAL_STEPS - steps, 0) * step_s
    facts = {
        "overhead_median": statistics.median(overheads),
        "overhead_least": min(overheads),
        "overhead_most": max(overheads),
        "extra_s_a_clip": extra,
        "once_a_run_s": once,
        "whole_of_so_few_clips": statistics.median(r["ours_whole_s"] / r["bare_whole_s"] for r in found) - 1,
        "computed_overhead_100_clips_50_steps": (100 * extra + once) / (100 * usual),
    }
    report.add("result", facts)
    good = toy or facts["overhead_median"] <= NEEDED
    print(
        f"overhead of a clip's cycle: {facts['overhead_median']:+.2%} ({min(overheads):+.2%} to "
        f"{max(overheads):+.2%}), {extra:+.3f} s a clip; once a run {once:.2f} s; whole of so few clips "
        f"{facts['whole_of_so_few_clips']:+.2%}; computed for 100 clips of {USUAL_STEPS} steps "
        f"{facts['computed_overhead_100_clips_50_steps']:+.2%}; needed at most {NEEDED:.0%}", flush=True,
    )  # fmt: skip
    return good
