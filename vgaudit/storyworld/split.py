"""Which scenes no bundled network was trained on: new combinations, not only new seeds."""

from __future__ import annotations

import hashlib

from vgaudit.storyworld.scene import Scene

_ONE_IN = 8


def is_held_out(scene: Scene) -> bool:
    """Whether this combination of subject, action, setting and colour was kept from training.

    One combination in eight, chosen by a hash, so that it never depends on how scenes are drawn. A scene whose
    colour is left to the seed has to be settled first (``Truth.scene``).

    Raises:
        ValueError: The colour is open.
    """
    if scene.colour is None:
        raise ValueError("the scene's colour is open; take the scene of the clip's truth")
    key = f"{scene.subject}|{scene.action}|{scene.setting}|{scene.colour}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % _ONE_IN == 0
