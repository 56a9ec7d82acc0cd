"""A small drawn world with known content: captions, scenes, clips with truth, and faults to plant in any clip."""

from vgaudit.storyworld.faults import Planted, plant
from vgaudit.storyworld.render import Rendered, Truth, render
from vgaudit.storyworld.scene import Scene, caption, parse

__all__ = ["Planted", "Rendered", "Scene", "Truth", "caption", "parse", "plant", "render"]
