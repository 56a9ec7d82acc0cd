"""Links in README.md and docs: every relative one leads to a file that is there, and to a heading of it."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from vgaudit.records import Measurement

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1[^\n]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
_INLINE = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s|$)", re.MULTILINE)
_HTML = re.compile(r"<[a-z][^>]*?\s(?:src|href)=\"([^\"]+)\"")
_NAMED = re.compile(r"<[a-z][^>]*?\s(?:id|name)=\"([^\"]+)\"")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # of a link its text
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found: dict[str, None] = {}
    for heading in _HEADING.findall(text):
        first = anchor = slug(heading)
        again = 0
        while anchor in found:
            again += 1
            anchor = f"{first}-{again}"
        found[anchor] = None
    return frozenset(found) | frozenset(_NAMED.findall(text))


def links(text: str) -> list[str]:
    """Targets within this repository."""
    prose = _CODE.sub("", _FENCE.sub("", text))
    found = [*_INLINE.findall(prose), *_REFERENCE.findall(prose), *_HTML.findall(prose)]
    return [target for target in found if not _ELSEWHERE.match(target)]


def broken(page: Path) -> list[str]:
    out = []
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        if not file.exists():
            out.append(f"{target}: no such file")
        elif not file.is_relative_to(ROOT):
            out.append(f"{target}: leads out of the repository")
        elif anchor and (file.suffix != ".md" or unquote(anchor) not in anchors(file)):
            out.append(f"{target}: no such heading")
    return out


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_there_is_something_to_follow() -> None:
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 50


def test_what_is_broken_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text(
        "# `fvd@x` of one's own\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n"
    )
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](other.md#fvdx-of-ones-own) [b](other.md#twice-1) [c](#here) [d](https://x.org/y)\n"
        "`[e](none.md)`\n[f](none.md)\n[g](other.md#no-heading)\n[h](#there)\n![i](picture.png)\n"
        "[j]: gone.md\n[k](..)\n"
        '<img src="drawn.svg">\n'
    )
    assert broken(page) == [
        "none.md: no such file",
        "other.md#no-heading: no such heading",
        "#there: no such heading",
        "picture.png: no such file",
        "..: leads out of the repository",
        "gone.md: no such file",
        "drawn.svg: no such file",
    ]


def test_the_plugin_guide_names_all_that_a_measurement_may_say() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert [field.name for field in fields(Measurement) if f"\n| `{field.name}` |" not in page] == []
    assert "`chosen_values(options)`" in page
