from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgaudit.reports.escaping import (
    finalize,
    is_safe_file_name,
    markdown_text,
    one_line,
    url_path,
    visible,
    xml_text,
)

ANY_TEXT = st.text(st.characters(), max_size=60)  # surrogates and control characters included


@given(ANY_TEXT)
def test_visible_text_can_be_encoded_and_has_no_control_characters(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not [c for c in shown if ord(c) < 0x20 and c not in "\t\n"]
    assert len(shown) == len(text.replace("\r\n", "\n"))


def test_visible_leaves_scripts_emoji_and_markup_alone() -> None:
    text = "<b>كلب</b> 🐕 'x' \"y\" & z"
    assert visible(text) == text
    assert visible("a\x00b\x1b[31m\ud83d") == "a␀b␛[31m\ufffd"


@given(ANY_TEXT, st.integers(2, 30))
def test_one_line_is_one_line_of_limited_length(text: str, limit: int) -> None:
    flat = one_line(text, limit)
    assert len(flat) <= limit
    assert flat.split() == flat.split(" ") or flat == ""


@given(ANY_TEXT)
def test_xml_text_survives_a_parser(text: str) -> None:
    element = ET.Element("a", {"b": xml_text(text)})
    element.text = xml_text(text)
    parsed = ET.fromstring(ET.tostring(element, encoding="utf-8"))
    assert (parsed.text or "") == xml_text(text).replace("\r\n", "\n").replace("\r", "\n")


@given(ANY_TEXT)
def test_markdown_text_leaves_no_live_markup(text: str) -> None:
    escaped = markdown_text(text)
    assert "\n" not in escaped
    assert "<" not in escaped
    assert ">" not in escaped
    for mark in "`*[]|~${}":
        assert escaped.count(mark) == escaped.count("\\" + mark)
    # Undoing the escapes gives the visible text back: nothing is lost.
    plain = html.unescape(_unescaped(escaped)).replace("\u200b", "")
    assert plain == one_line(text).replace("\u200b", "")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("temporal.warp_error <= 0.05", "temporal.warp_error &lt;= 0.05"),
        ("a|b", "a\\|b"),
        ("_x_ **y** `z`", "\\_x\\_ \\*\\*y\\*\\* \\`z\\`"),
        ("[a](javascript:alert(1))", "\\[a\\](javascript:alert(1))"),
        ("http://a.example/b", "http\\://a.example/b"),
        ("@team see #12", "@\u200bteam see #\u200b12"),
        ("WWW.example", "WWW\u200b.example"),
        ("# heading", "\\#\u200b heading"),
        ("- item\n- item", "\\- item - item"),
        ("1. item", "1\\. item"),
        ("-0.5", "-0.5"),
        (":smile: at 12:30", "\\:smile: at 12:30"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
    ],
)
def test_markdown_examples(text: str, escaped: str) -> None:
    assert markdown_text(text) == escaped


def test_urls_are_percent_encoded_by_part() -> None:
    assert url_path("clips", "a b#1?.html") == "clips/a%20b%231%3F.html"
    assert url_path("media", "../x/y") == "media/..%2Fx%2Fy"
    assert url_path("..", "media", "\ud800") == "../media/%EF%BF%BD"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("beach-0-0123456789", True),
        ("", False),
        (".hidden", False),
        ("..", False),
        ("-x", False),
        ("a/b", False),
        ("a b", False),
        ("CON", False),
        ("nul.mp4", False),
        ("ü", False),
        ("a" * 200, False),
        ("a\n", False),
    ],
)
def test_safe_file_names(name: str, safe: bool) -> None:
    assert is_safe_file_name(name) is safe


def test_templates_cannot_print_none() -> None:
    with pytest.raises(TypeError, match="printed None"):
        finalize(None)
