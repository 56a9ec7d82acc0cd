from __future__ import annotations

import json
from dataclasses import replace

from vgaudit.plan import Plan, Sample

SAMPLE = Sample("p-0-abc", "p", "a dog", "g", seed=0, tags={"k": "v"}, expect=({"is": "a", "not": ["b"]},))


def test_a_declared_domain_survives_the_file() -> None:
    plan = Plan((SAMPLE, replace(SAMPLE, sample_id="p-1-abc", seed=1, domain="storyworld")))
    assert Plan.from_jsonl(plan.to_jsonl()) == plan
    assert [s.domain for s in Plan.from_jsonl(plan.to_jsonl())] == ["", "storyworld"]


def test_plans_from_before_there_were_domains_load_and_keep_their_digest() -> None:
    old = {
        "sample_id": "p-0-abc", "prompt_id": "p", "prompt": "a dog", "group": "g", "backend": 0, "seed": 0,
        "tags": {"k": "v"}, "expect": [{"is": "a", "not": ["b"]}], "source": None,
    }  # fmt: skip
    assert Sample.from_json(old) == SAMPLE
    assert json.loads(Plan((SAMPLE,)).to_jsonl()) == old


def test_a_domain_is_no_part_of_what_is_generated() -> None:
    declared = Plan((replace(SAMPLE, domain="storyworld"),))
    assert declared.digest == Plan((SAMPLE,)).digest
    assert declared.to_jsonl() != Plan((SAMPLE,)).to_jsonl()


def test_a_prompt_may_hold_what_some_take_for_the_end_of_a_line() -> None:
    odd = Sample("s", "p", "a \x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029 b", "g")
    plan = Plan((odd, replace(odd, sample_id="t")))
    assert Plan.from_jsonl(plan.to_jsonl()) == plan
