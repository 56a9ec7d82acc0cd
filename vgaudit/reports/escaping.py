"""Make untrusted text (prompts, names, paths, messages) safe for each format a report is written in."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

_CONTROL_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)}
_VISIBLE = {
    **_CONTROL_PICTURES,
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    0xFFFE: "\ufffd",
    0xFFFF: "\ufffd",
}
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOT_XML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACES = re.compile(r"\s+")
# What means something anywhere in a line; an underscore inside a word and a colon in a sentence do not.
_MARKDOWN = re.compile(r"([\\`*{}\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|:(?=/)|:(?=[\w+-]+:))")
_MARKDOWN_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+][-+\s]|[-+]$|[=#]))")
_LINKED = re.compile(r"\b(www(?=\.)|gh(?=-\d))", re.IGNORECASE)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def visible(text: str) -> str:
    """``text`` with control characters as their Unicode pictures and lone surrogates as U+FFFD.

    Tab and newline stay. The result can be encoded as UTF-8 and has nothing an HTML parser drops; markup in it
    is *not* escaped, which is the template engine's part.
    """
    if text.isascii() and text.isprintable():  # nearly everything that a large report prints
        return text
    text = text.replace("\r\n", "\n")
    return text.translate(_VISIBLE) if _HIDDEN.search(text) else text


def one_line(text: str, limit: int | None = None) -> str:
    """``visible`` text with runs of white space as one space, cut to ``limit`` characters with an ellipsis."""
    if limit is not None and len(text) > (
        enough := 4 * limit + 64
    ):  # a long prompt is not looked at to its end
        flat = _SPACES.sub(" ", visible(text[:enough])).strip()
        if len(flat) > limit:
            return flat[: limit - 1].rstrip() + "\u2026"
    flat = _SPACES.sub(" ", visible(text)).strip()
    return flat if limit is None or len(flat) <= limit else flat[: limit - 1].rstrip() + "\u2026"


def xml_text(text: str) -> str:
    """``text`` without the characters that XML 1.0 forbids even when escaped."""
    return _NOT_XML.sub("", text)


def markdown_text(text: str, limit: int | None = None) -> str:
    """``text`` on one line so that GitHub-flavoured Markdown shows it literally, in tables too.

    Markup characters become entities or are backslash-escaped. A zero-width space in ``@name``, ``#12``,
    ``GH-12`` and ``www.`` keeps code hosts from turning a prompt into a mention, an issue reference or a link.
    """
    flat = one_line(text, limit)
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    flat = _MARKDOWN_START.sub(r"\1\\", _MARKDOWN.sub(r"\\\1", flat))
    flat = flat.replace("@", "@\u200b").replace("#", "#\u200b")
    return _LINKED.sub("\\1\u200b", flat)


def url_path(*parts: str) -> str:
    """A relative URL from path parts, each percent-encoded (``/`` inside a part too)."""
    return "/".join(part if part == ".." else quote(visible(part), safe="") for part in parts)


def is_safe_file_name(name: str) -> bool:
    """Whether ``name`` can be a file name everywhere: ASCII, no separators, no reserved device name."""
    return _SAFE_NAME.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None


def finalize(value: Any) -> Any:
    """Clean what a template prints; refuse ``None``, which would otherwise stand in the page as a word.

    Raises:
        TypeError: A template printed ``None``.
    """
    if value is None:
        raise TypeError("a report template printed None; the page model must say in words what is missing")
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return visible(value)
    return value
