"""Wrong suites, one a line, each with what it is told: ``line:column: message``, or any part of a message."""

# ruff: noqa: E501 - one case a line is what makes this table readable
from __future__ import annotations

GOOD = """\
name: trial
backend: {type: files, root: clips}
video: {frames: 16, fps: 8, encoder: {crf: 12}}
seeds: [3, 1]
prompts:
  - a dog walking along the beach at sunset
  - {id: cat, text: a cat, tags: [animal, grey], expect: {is: a cat, not: a dog}, motion: low}
  - {prompt: a bird, tags: {people: true, count: 3}}
metrics:
  temporal:
  vbench: {dimensions: [temporal_flickering]}
gates:
  - temporal.warp_error <= 0.05
  - temporal.motion: ">= 0.1"
  - {metric: vbench.temporal_flickering, min: 0.9, severity: warn}
"""


def with_line(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


# fmt: off
WRONG: dict[str, tuple[str, list[str]]] = {
    # the file
    "empty": ("", ["1:1: expected a suite: a mapping with name, backend, ..., found nothing"]),
    "list": ("- a\n", ["1:1: expected a suite: a mapping with name, backend, ..., found a list of 1"]),
    "text": ("hello\n", ["1:1: expected a suite: a mapping with name, backend, ..., found 'hello'"]),
    "tab": ("name: x\n\tbackend: y\n", ["2:1: expected YAML"]),
    "unclosed list": ("a: [1, 2\nb: 3\n", ["2:2: expected YAML"]),
    "unclosed quote": ("a: 'x\n", ["2:1: expected YAML"]),
    "colon in text": ("name: a: b\n", ["1:8: expected YAML: mapping values are not allowed here; quote"]),
    "two documents": ("name: a\n---\nname: b\n", ["2:1: expected one document, found a second one"]),
    "control character": ("name: a\x01\n", ["1:8: expected printable text, found character 0x01"]),
    "unknown alias": ("name: *x\n", ["1:7: expected YAML: found undefined alias"]),
    "foreign tag": (
        "name: !!python/object/apply:os.system ['true']\n",
        ["1:7: name: expected plain values, found the tag '!!python/object/apply:os.system'"],
    ),
    "own tag": ("name: !secret x\n", ["1:7: name: expected plain values, found the tag '!secret'"]),
    "binary": ("name: !!binary aGk=\n", ["1:7: name: expected plain values, found the tag '!!binary'"]),
    "number as key": ("1: x\n", ["1:1: expected a name as key, found '1'"]),
    "list as key": ("[a]: x\n", ["1:1: expected a name as key, found a list or mapping"]),
    "null character": ('name: "a\\0"\n', ["1:7: name: expected text, found a character that no text may hold"]),
    "half a character": ('name: "\\ud800"\n', ["1:7: name: expected text, found a character"]),
    "not finite": ("confidence: .inf\n", ["1:13: confidence: expected a finite number, found '.inf'"]),
    "too large": ("seeds: 1e999\n", ["1:8: seeds: expected a finite number, found '1e999'"]),
    "huge integer": (f"seeds: {'9' * 30}\n", ["1:8: seeds: expected a whole number below 2^63"]),
    "merge of text": ("video: {<<: x}\n", ["1:8: video: expected a mapping after `<<`"]),
    "name twice": ("name: a\nname: b\n", ["2:1: name: expected each name once, found it again (first on line 1)"]),
    "deep": ("[" * 300 + "]" * 300, ["expected at most 40 levels of nesting"]),
    "very deep": ("[" * 30_000, ["expected at most 40 levels of nesting"]),
    "alias in itself": ("a: &x [*x]\n", ["expected at most 40 levels of nesting"]),
    # its names
    "unknown name": (GOOD + "metrcs: {}\n", ["16:1: metrcs: expected a known name, found 'metrcs'; did you mean 'metrics'?"]),
    "no name": (with_line("name: trial\n", ""), ["1:1: name: expected 'name', which is required, found nothing"]),
    "unsafe name": (with_line("trial", "../etc"), ["1:7: name: expected a name of at most 64 letters"]),
    "name is a number": (with_line("trial", "3"), ["1:7: name: expected text, found 3; put it in quotes"]),
    "name is a list": (with_line("trial", "[a]"), ["1:7: name: expected text, found a list of 1"]),
    # backend
    "no backend": (with_line("backend: {type: files, root: clips}\n", ""), ["1:1: backend: expected 'backend', which is required"]),
    "backend is text": (with_line("{type: files, root: clips}", "files"), ["2:10: backend: expected a mapping such as {type: files, root: clips}, or a list of them, found 'files'"]),
    "no backends": (with_line("{type: files, root: clips}", "[]"), ["2:10: backend: expected at least 1 of them"]),
    "no type": (with_line("type: files, ", ""), ["2:10: backend.type: expected the type of a backend (files, "]),
    "unknown backend": (with_line("files", "flies"), ["2:17: backend.type: expected a known backend, found 'flies'; did you mean 'files'?"]),
    "unknown option": (with_line("root:", "rot:"), ["2:10: backend.root: expected 'root', which is required", "2:24: backend.rot: expected a known name, found 'rot'; did you mean 'root'?"]),
    "wrong option": (with_line("clips}", "clips, fps: fast}"), ["2:42: backend.fps: expected a number, found 'fast'"]),
    "option out of range": (with_line("clips}", "clips, fps: 0}"), ["2:42: backend.fps: expected a number > 0, found 0"]),
    "option of a choice": (with_line("clips}", "clips, naming: vbnch}"), ["2:45: backend.naming: expected 'auto', 'vbench' or 'plain', found 'vbnch'; did you mean 'vbench'?"]),
    "names missing": (with_line("{type: files, root: clips}", "[{type: files, root: a}, {type: files, root: b, name: b}]"), ["2:11: backend[0].name: expected a name, as there are several backends"]),
    "names equal": (with_line("{type: files, root: clips}", "[{type: files, root: a, name: b}, {type: files, root: b, name: b}]"), ["2:73: backend[1].name: expected a name of its own, found 'b' again (backend[0] has it)"]),
    "unsafe group": (with_line("root: clips", "root: c, name: a/b"), ["2:39: backend.name: expected a name of at most 64 letters"]),
    # video, seeds, limits
    "frames as text": (with_line("frames: 16", "frames: '16'"), ["3:17: video.frames: expected a whole number, found '16'"]),
    "frames as fraction": (with_line("frames: 16", "frames: 1.5"), ["3:17: video.frames: expected a whole number, found 1.5"]),
    "true as number": (with_line("fps: 8", "fps: true"), ["3:26: video.fps: expected a number, found true"]),
    "no frames": (with_line("frames: 16", "frames: 0"), ["3:17: video.frames: expected a number > 0, found 0"]),
    "seconds without fps": (with_line("{frames: 16, fps: 8, ", "{seconds: 2, "), ["3:8: video: expected `fps` beside `seconds`"]),
    "three that disagree": (with_line("frames: 16", "seconds: 3, frames: 16"), ["3:8: video: expected frames = seconds x fps = 24, found 16"]),
    "encoder": (with_line("crf: 12", "crf: 99, losless: true"), ["3:44: video.encoder.crf: expected a number <= 51, found 99", "3:48: video.encoder.losless: expected a known name, found 'losless'; did you mean 'lossless'?"]),
    "encoder is text": (with_line("{crf: 12}", "h264"), ["3:38: video.encoder: expected a mapping, found 'h264'"]),
    "negative seed": (with_line("[3, 1]", "[3, -1]"), ["4:12: seeds[1]: expected a number >= 0, found -1"]),
    "seed twice": (with_line("[3, 1]", "[3, 1, 3]"), ["4:15: seeds[2]: expected each seed once, found 3 again"]),
    "no seeds": (with_line("[3, 1]", "0"), ["4:8: seeds: expected a list of seeds, or how many (1 to 100,000), found 0"]),
    "seed as text": (with_line("[3, 1]", "[a]"), ["4:9: seeds[0]: expected a whole number, found 'a'"]),
    "limits": (GOOD + "limits: {max_frames: -1, max_frmes: 2}\n", ["16:22: limits.max_frames: expected a number > 0", "16:26: limits.max_frmes: expected a known name, found 'max_frmes'; did you mean 'max_frames'?"]),
    "too many failed": (GOOD + "max_failed: 1.5\n", ["16:13: max_failed: expected a whole number >= 0 or a fraction from 0 to 1"]),
    "failed is text": (GOOD + "max_failed: few\n", ["16:13: max_failed: expected a whole number or a number, found 'few'"]),
    "confidence": (GOOD + "confidence: 95\n", ["16:13: confidence: expected a number < 1, found 95"]),
    # prompts
    "no prompts": (GOOD[: GOOD.index("prompts:")] + "prompts: []\n", ["5:10: prompts: expected a list of prompts or the name of a file, found an empty list"]),
    "prompts as mapping": (GOOD[: GOOD.index("prompts:")] + "prompts: {a: b}\n", ["5:10: prompts: expected a list of prompts"]),
    "prompt as number": (with_line("a dog walking along the beach at sunset", "42"), ["6:5: prompts[0]: expected text, or a mapping with `text`, found 42"]),
    "empty prompt": (with_line("text: a cat", "text: ' '"), ["7:21: prompts[1].text: expected at least 1 characters, found ' '"]),
    "prompt without text": (with_line("text: a cat, ", ""), ["7:5: prompts[1].text: expected 'text', which is required"]),
    "misspelt prompt field": (with_line("tags: [animal", "tgas: [animal"), ["7:28: prompts[1].tgas: expected a known name, found 'tgas'; did you mean 'tags'?"]),
    "id twice": (with_line("{prompt: a bird", "{id: cat, prompt: a bird"), ["8:10: prompts[2].id: expected each prompt id once, found 'cat' again (prompts[1] has it)"]),
    "text twice": (with_line("{prompt: a bird", "{prompt: a dog walking along the beach at sunset"), ["8:5: prompts[2]: expected each prompt id once"]),
    "id with slash": (with_line("id: cat", "id: a/b"), ["7:10: prompts[1].id: expected an id of 1 to 120 characters"]),
    "motion": (with_line("motion: low", "motion: lo"), ["7:91: prompts[1].motion: expected 'static', 'low' or 'high', found 'lo'; did you mean 'low'?"]),
    "contrast without not": (with_line(", not: a dog", ""), ["7:58: prompts[1].expect.not: expected 'not', which is required"]),
    "contrast with nothing": (with_line("not: a dog", "not: []"), ["7:75: prompts[1].expect.not: expected at least 1 of them"]),
    "contrast with itself": (with_line("not: a dog", "not: [a dog, A Cat]"), ["7:58: prompts[1].expect: expected texts that differ, found 'A Cat' twice"]),
    "contrast about nothing": (with_line("not: a dog", "not: a dog, about: ' '"), ["prompts[1].expect.about: expected at least 1 characters"]),
    "prompt file missing": (GOOD[: GOOD.index("prompts:")] + "prompts: none.csv\n", ["5:10: prompts: expected a file of prompts, found 1 wrong in 'none.csv', below", "none.csv: no such file"]),
    # metrics and gates
    "unknown metric": (with_line("  vbench:", "  vbnech:").replace("  - {metric: vbench.temporal_flickering, min: 0.9, severity: warn}\n", ""), ["11:3: metrics.vbnech: expected a known metric, found 'vbnech'; did you mean 'vbench'?"]),
    "unknown value": (with_line("  temporal:\n", "  temporal:\n  vbench.flicker:\n"), ["11:3: metrics.vbench.flicker: expected a value of vbench, found 'flicker'"]),
    "metric and its value": (with_line("  temporal:\n", "  temporal:\n  temporal.motion:\n"), ["11:3: metrics.temporal.motion: expected temporal or single values of it, found both"]),
    "metric option": (with_line("dimensions", "dimension"), ["11:12: metrics.vbench.dimension: expected a known name, found 'dimension'; did you mean 'dimensions'?"]),
    "metric options as text": (with_line("  temporal:\n", "  temporal: all\n"), ["10:13: metrics.temporal: expected a mapping, found 'all'"]),
    "metrics as text": (GOOD[: GOOD.index("metrics:")] + "metrics: all\n", ["9:10: metrics: expected a mapping, found 'all'"]),
    "gate on nothing": (with_line("temporal.warp_error <= 0.05", "temporal.warp_eror <= 0.05"), ["13:5: gates[0]: expected a gate on something computed: gate 'temporal.warp_eror <= 0.05': the suite computes no 'temporal.warp_eror'; did you mean 'temporal.warp_error'?"]),
    "gate that is none": (with_line("temporal.warp_error <= 0.05", "quality is good"), ["13:5: gates[0]: expected a condition: 'quality is good' is no condition"]),
    "gate as number": (with_line("temporal.warp_error <= 0.05", "5"), ["13:5: gates[0]: expected a condition such as 'temporal.warp_error <= 0.05', found 5"]),
    "gate field": (with_line("severity: warn", "severty: warn"), ["15:52: gates[2].severty: expected a known name, found 'severty'; did you mean 'severity'?"]),
    "gate severity": (with_line("severity: warn", "severity: warning"), ["15:62: gates[2].severity: expected 'fail' or 'warn', found 'warning'; did you mean 'warn'?"]),
    "gate without limit": (with_line("min: 0.9, ", ""), ["15:5: gates[2]: expected a valid value: a gate needs a limit"]),
    "gates as text": (GOOD[: GOOD.index("gates:")] + "gates: none\n", ["12:8: gates: expected a list of conditions, found 'none'"]),
    "findings of no kind": (with_line("temporal.warp_error <= 0.05", "findings temporal.freze <= 0"), ["13:5: gates[0]: expected a gate on something computed"]),
}
# fmt: on
