"""Write the overview of a report as one HTML file that can be sent and opened anywhere: stills in place of clips.

The file is made from ``index.html`` as it stands, element by element, so it holds whatever the overview holds. Styles
and scripts are written into it and allowed by their digests alone; what leads to another file becomes text. A part of
a template that makes sense in the folder only carries the attribute ``data-folder-only`` and is left out.
People of the gallery are numbered wherever the id of their entry stands, for the file is made to be sent.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from html import escape, unescape
from html.parser import HTMLParser
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vgaudit.errors import UsageError
from vgaudit.records import Severity
from vgaudit.reports.data import ReportData
from vgaudit.reports.likeness_headline import METRIC, clip_states, headline, state_counts
from vgaudit.reports.likeness_hits import mapping, raw_hits
from vgaudit.reports.likeness_names import VeiledNames
from vgaudit.reports.likeness_page import has_likeness
from vgaudit.reports.page_files import page_environment
from vgaudit.rundir import atomic_write

MOST_PICTURE_BYTES = 6_000_000
"""Bytes of all stills together, as JPEG; in the file they take a third more."""

MOST_ROWS = 1_000
"""Clips in the table; the first in the table's order."""

_STILL_SIDE = 288
_LIKENESS = "likeness-numbers"
_GENERATOR = '<meta name="generator" content="vgaudit">'
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_DROPPED = frozenset({"video", "audio", "iframe", "object", "embed", "base"})
_ELSEWHERE = re.compile(r"(?:\.{0,2}/)?(?:assets|clips|media|faces)/|[\w.-]+\.html\b")
_ROWS = re.compile(r'<table[^>]* class="clips">.*?<tbody>(.*?)</tbody>', re.DOTALL)
_ROW = re.compile(r"\s*<tr\b.*?</tr>", re.DOTALL)
_SPOKEN = frozenset({"title", "alt", "aria-label", "label", "content"})
"""Attributes that are text for people."""
_LINKS = frozenset({"src", "srcset", "href", "poster", "action", "formaction", "data", "background", "ping"})


def write_single_file(data: ReportData, report: Path, out: Path, *, pictures: bool = True) -> Path:
    """Write the overview of a report into one file.

    Args:
        data: The run.
        report: Folder of its report, as ``write_reports`` wrote it.
        out: The file; one that is there is replaced only if it is such a file.
        pictures: With stills of the clips, re-encoded to at most 288 pixels a side. If they are more than
            :data:`MOST_PICTURE_BYTES` together, those of the worst findings and clips are kept, and the file says so.

    Returns:
        ``out``.

    Raises:
        UsageError: ``out`` is a folder, lies in the run directory, or is a file of something else.
        OSError: The report or the file cannot be read or written.
    """
    _check(data, out)
    source, more = _with_rows(report)
    wanted = _Wanted()
    wanted.feed(source)
    stills, left = _stills(report, wanted.in_order()) if pictures else ({}, 0)
    parts = page_environment().get_template("single.html").module
    about = str(
        parts.about(pictures, len(stills), left, f"{MOST_PICTURE_BYTES // 1_000_000} MB of stills", more)  # type: ignore[attr-defined]
    )
    likeness = _likeness(data, parts) if has_likeness(data) else ""
    page = _Page(report, stills, about, likeness, str(parts.find()), VeiledNames(data).people)  # type: ignore[attr-defined]
    page.feed(source)
    page.close()
    with atomic_write(out) as file:
        file.write(page.text().encode())
    return out


def _with_rows(report: Path) -> tuple[str, int]:
    """The overview with the rows of the plain pages in its clip table; and how many more clips there are."""
    source = (report / "index.html").read_text(encoding="utf-8")
    pages = sorted(report.glob("clips-*.html"), key=lambda path: (len(path.name), path.name))
    if not pages:
        return source, 0
    rows = [row for page in pages for row in _ROW.findall(_tbody(page.read_text(encoding="utf-8"))[1])]
    before, _, after = _tbody(source)
    return f"{before}{''.join(rows[:MOST_ROWS])}{after}", max(0, len(rows) - MOST_ROWS)


def _tbody(page: str) -> tuple[str, str, str]:
    """A page up to the rows of its clip table, the rows, and what follows."""
    found = _ROWS.search(page)
    if found is None:
        raise UsageError(
            "expected a page of vgaudit with a table of clips, found none; write the report again with `vgaudit "
            "report RUN`"
        )
    return page[: found.start(1)], found[1], page[found.end(1) :]


def _check(data: ReportData, out: Path) -> None:
    if out.resolve().is_relative_to(data.run_dir.resolve()):
        raise UsageError(
            f"--single-file {out}: expected a file outside the run directory, found one inside {data.run_dir}; what "
            "is passed on is a copy that a purge of the run does not reach, so name a file elsewhere"
        )
    if out.is_dir():
        raise UsageError(f"--single-file {out}: expected the name of a file, found a folder")
    if out.exists():
        with out.open("rb") as file:
            begin = file.read(4096).decode("utf-8", "replace")
        if _GENERATOR not in begin:
            raise UsageError(
                f"--single-file {out}: expected no file or one that vgaudit wrote, found something else; name "
                "another file"
            )


def _likeness(data: ReportData, parts: Any) -> str:
    """The likeness audit as numbers: no faces, no clips, and people without the ids of their entries."""
    hits = raw_hits(data)
    states = clip_states(data, hits)
    names = VeiledNames(data)
    settled = mapping(data.settled.get(METRIC))
    groups = list(dict.fromkeys(entry.sample.group for entry in data.clips))
    guarded = [hit for hit in hits if not hit.consented]
    return str(
        parts.likeness(headline(data, hits, states, names), state_counts(states, groups, guarded, settled))
    )


# -- pictures ----------------------------------------------------------------------------------------


class _Wanted(HTMLParser):
    """Collects the stills of a page: those of findings first, then those of clips, the worst first."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[str, tuple[int, int]] = {}
        self._row: list[str] | None = None
        self._rank = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a still, and how bad the worst finding is in the row that it stands in."""
        given = dict(attrs)
        if tag == "tr":
            self._row, self._rank = [], 0
        elif tag == "img" and (src := given.get("src")):
            if self._row is None:
                self._found.setdefault(src, (-1000, len(self._found)))
            else:
                self._row.append(src)
        elif severity := re.search(r"\bsev-(\w+)", given.get("class") or ""):
            self._rank = max(self._rank, Severity(severity[1]).rank)

    def handle_endtag(self, tag: str) -> None:
        """At the end of a row, its stills count as it does."""
        if tag == "tr" and self._row is not None:
            for src in self._row:
                self._found.setdefault(src, (-self._rank, len(self._found)))
            self._row = None

    def in_order(self) -> list[str]:
        """Their URLs, the most wanted first."""
        return sorted(self._found, key=self._found.__getitem__)


def _stills(report: Path, wanted: Sequence[str]) -> tuple[dict[str, str], int]:
    """URL to data URI, as many as there is room for; and how many had no room."""
    stills: dict[str, str] = {}
    room, left = MOST_PICTURE_BYTES, 0
    for url in wanted:
        if url.startswith("data:"):
            continue
        jpeg = _jpeg(report, url)
        if not jpeg:
            continue
        if left or len(jpeg) > room:
            left += 1
            continue
        room -= len(jpeg)
        stills[url] = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
    return stills, left


def _jpeg(report: Path, url: str) -> bytes:
    """A picture of the report, small, without anything else of its file; empty if it cannot be read."""
    from PIL import Image

    path = (report / unquote(url)).resolve()
    if not path.is_relative_to(report.resolve()):
        return b""
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((_STILL_SIDE, _STILL_SIDE))
        out = BytesIO()
        image.save(out, "JPEG", quality=72, optimize=True)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""
    return out.getvalue()


# -- the page ----------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """Writes the page again, element by element."""

    def __init__(
        self,
        report: Path,
        stills: Mapping[str, str],
        about: str,
        likeness: str,
        search: str,
        people: Callable[[str], str],
    ) -> None:
        super().__init__(convert_charrefs=False)
        self._report = report
        self._stills = stills
        self._about, self._likeness, self._search = about, likeness, search
        self._people = people
        self._words: list[str] = []  # text since the last tag: a name may stand in it with a reference
        self._out: list[str] = []
        self._styles: list[str] = []
        self._scripts: list[str] = []
        self._open: list[str] = []  # for each element that is open, the tag it was written as
        self._skip = 0  # depth inside an element that is left out
        self._verdict = 0  # depth of the section of the verdict
        self._script = False  # inside a script that was taken from beside the page

    def text(self) -> str:
        """The whole file."""
        style = "\n".join([*self._styles, _asset("single.css")])
        script = "\n".join(self._scripts)
        program = _digest(script) if script else "'none'"
        policy = (
            f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {program}; "
            "base-uri 'none'; form-action 'none'"
        )
        self._say()
        page = "".join(self._out)
        head = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        for mark, words in (
            (_POLICY, head),
            ("</head>", f"<style>{style}</style>\n</head>"),
            ("</body>", f"<script>{script}</script>\n</body>" if script else "</body>"),
        ):
            before, found, after = page.rpartition(mark)
            if not found:
                raise UsageError(
                    f"{self._report / 'index.html'}: expected a page of vgaudit, found one without {mark!r}; write "
                    "the report again with `vgaudit report RUN`"
                )
            page = f"{before}{words}{after}"
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Write the element, as it can stand alone."""
        self._say()
        given = {k: self._people(v) if k in _SPOKEN and v else v for k, v in attrs}
        if self._skip:
            self._skip += tag not in _VOID
            return
        if tag in _DROPPED or "data-folder-only" in given:
            self._skip = int(tag not in _VOID)
            return
        if tag == "meta" and (given.get("http-equiv") or "").lower() == "content-security-policy":
            self._out.append(_POLICY)
        elif tag == "link":
            self._link(given)
        elif tag == "script" and given.get("src"):
            self._scripts.append(_guarded(self._beside(str(given["src"]))))
            self._script = True
        elif tag == "img":
            self._image(given)
        else:
            self._element(tag, given)

    def _element(self, tag: str, given: dict[str, str | None]) -> None:
        href = given.get("href")
        if tag == "a" and href is not None and not href.startswith("#"):
            if self._likeness and href.partition("#")[0] == "likeness.html":
                given = {**given, "href": f"#{_LIKENESS}"}
            else:
                kept = f"{given.get('class') or ''} unlinked".strip()
                given = {
                    k: v for k, v in given.items() if k not in ("href", "aria-label", "download", "target")
                }
                given["class"] = kept
                tag = "span"
        written = {k: v for k, v in given.items() if not _leads_away(k, v)}
        if given.get("id") == "clip-table":
            self._out.append(self._search)
            self._scripts.append(_guarded(_asset("single.js")))
        self._out.append(_tag(tag, written))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "section" and given.get("id") == "verdict":
            self._verdict = len(self._open)
        if tag == "section" and given.get("id") == "provenance" and self._likeness:
            self._out.insert(-1, f"{self._likeness}\n")

    def _link(self, given: Mapping[str, str | None]) -> None:
        href = given.get("href") or ""
        if given.get("rel") == "stylesheet":
            self._styles.append(self._beside(href))
        elif given.get("rel") == "icon" and href.endswith(".svg"):
            icon = base64.b64encode(self._beside(href).encode()).decode("ascii")
            self._out.append(_tag("link", {"rel": "icon", "href": f"data:image/svg+xml;base64,{icon}"}))

    def _image(self, given: dict[str, str | None]) -> None:
        src = given.get("src") or ""
        still = src if src.startswith("data:") else self._stills.get(src, "")
        if still:
            self._out.append(_tag("img", {**given, "src": still, "srcset": None, "loading": None}))
        else:
            self._out.append('<span class="no-still">no picture here</span>')

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Elements of drawings such as ``<path/>``, and void ones."""
        self._say()
        if self._skip:
            return
        if tag in _VOID or tag in _DROPPED:
            self.handle_starttag(tag, attrs)
            return
        written = {k: v for k, v in dict(attrs).items() if not _leads_away(k, v)}
        self._out.append(_tag(tag, written)[:-1] + "/>")

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened."""
        self._say()
        if self._skip:
            self._skip -= 1
            return
        if self._script and tag == "script":
            self._script = False
            return
        if tag in _VOID or not self._open:
            return
        if self._verdict == len(self._open):
            self._verdict = 0
            self._out.append(f"</{self._open.pop()}>\n{self._about}")
            return
        self._out.append(f"</{self._open.pop()}>")

    def handle_data(self, data: str) -> None:
        """Text, and what stands in scripts that are no programs."""
        if not self._skip and not self._script:
            self._words.append(data)

    def _say(self) -> None:
        """Write the text since the last tag, with people of the gallery numbered."""
        written = "".join(self._words)
        self._words.clear()
        meant = unescape(written)
        numbered = self._people(meant)
        self._out.append(written if numbered == meant else escape(numbered, quote=False))

    def handle_entityref(self, name: str) -> None:
        """``&name;`` as it stands."""
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """``&#1234;`` as it stands."""
        self.handle_data(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        """The document type."""
        self._say()
        self._out.append(f"<!{decl}>")

    def _beside(self, url: str) -> str:
        """Text of a style sheet, script or icon of the report."""
        name = url.rpartition("/")[2]
        return (self._report / "assets" / unquote(name)).read_text(encoding="utf-8")


_POLICY = "<!--policy-->"


def _leads_away(name: str, value: str | None) -> bool:
    """Whether an attribute names another file: a link of any kind, or a script's own note of one."""
    if value is None or value.startswith(("#", "data:")):
        return False
    return name in _LINKS or (name.startswith("data-") and _ELSEWHERE.match(value) is not None)


def _tag(tag: str, attrs: Mapping[str, str | None]) -> str:
    """A start tag; an attribute of ``None`` has no value, and ``srcset`` and ``loading`` then go."""
    out = [tag]
    for name, value in attrs.items():
        if value is not None:
            out.append(f'{name}="{escape(value)}"')
        elif name not in ("srcset", "loading"):
            out.append(name)
    return f"<{' '.join(out)}>"


def _guarded(script: str) -> str:
    """A script that cannot end the element it stands in."""
    if re.search(r"</script|<!--", script, re.IGNORECASE):
        raise UsageError(
            "a script of the report holds '</script' or '<!--', so that it cannot stand in a page; split the text"
        )
    return script


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode('ascii')}'"


def _asset(name: str) -> str:
    return (files("vgaudit.reports") / "assets" / name).read_text("utf-8")
