"""One CLIP for several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from vgaudit.zoo.catalogue import BUNDLED_CLIP
from vgaudit.zoo.clip_models import BUNDLED, ClipChoice, load_clip

TEXTS = (
    "a dog",
    "a red ball rolls along the beach while the camera pans to the left",
    "zyx",
    "a cat sits by a lake",
)


def test_texts_may_be_counted_while_others_are_made_tokens_of() -> None:
    """A tokenizer that pads keeps that as a state; counting takes it away."""
    model = load_clip(ClipChoice(BUNDLED_CLIP, BUNDLED))
    wanted = [(model.tokenize([t]).tolist(), model.count_tokens(t), model.unknown_words(t)) for t in TEXTS]

    def ask(turn: int) -> bool:
        text = turn % len(TEXTS)
        told = (
            model.tokenize([TEXTS[text]]).tolist(), model.count_tokens(TEXTS[text]), model.unknown_words(TEXTS[text])
        )  # fmt: skip
        return told == wanted[text]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4000)))
