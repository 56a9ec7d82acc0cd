"""The report as it is served: nothing else of the disk, whole files, parts of videos."""

from __future__ import annotations

import html
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.desk.served import Desk
from vgaudit.desk.app import MARK, served_page
from vgaudit.desk.files import OpenFile, open_below, part
from vgaudit.errors import RunDirError


def opened(folder: Path, path: str) -> OpenFile:
    found = open_below(folder, path)
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    report = tmp_path / "report"
    (report / "clips").mkdir(parents=True)
    (report / "index.html").write_text("index")
    (report / "clips" / "a b.html").write_text("clip")
    (report / ".written").write_text("mark")
    (report / "clips" / ".hidden").write_text("mark")
    (tmp_path / "manifest.json").write_text("secret")
    (report / "out.json").symlink_to(tmp_path / "manifest.json")
    (report / "in.html").symlink_to("index.html")
    (report / "up").symlink_to("..")
    os.mkfifo(report / "pipe")
    return report


@pytest.mark.parametrize(
    "path",
    [
        "", "/", ".", "..", "../manifest.json", "clips/../../manifest.json", "clips", "clips/", "/etc/passwd",
        "out.json", "in.html", "up/manifest.json", "up/report/index.html", ".written", "clips/.hidden",
        "./index.html",
        "clips//a b.html", "pipe", "index.html/", "index.html\0", "..\\manifest.json", "nothing.html", "x" * 5000,
    ],
)  # fmt: skip
def test_nothing_but_plain_files_of_the_report(folder: Path, path: str) -> None:
    assert open_below(folder, path) is None


def test_files_of_the_report(folder: Path) -> None:
    assert opened(folder, "index.html").read() == b"index"
    assert opened(folder, "clips/a b.html").read() == b"clip"
    assert open_below(folder / "gone", "index.html") is None


def test_a_file_that_is_replaced_while_it_is_sent_stays_whole(folder: Path) -> None:
    from vgaudit.reports.page_files import write_page

    page = folder / "index.html"
    write_page(page, "a" * 900_000)
    found = opened(folder, "index.html")
    blocks = found.blocks(0, found.size)
    first = next(blocks)
    write_page(page, "b" * 10)
    assert first + b"".join(blocks) == b"a" * 900_000
    assert opened(folder, "index.html").read() == b"b" * 10


def test_no_file_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(50):
        opened(folder, "index.html").read()
        next(opened(folder, "index.html").blocks(0, 3))
        open_below(folder, "clips/nothing")
        open_below(folder, "pipe")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("bytes=0-", (0, 100)), ("bytes=10-19", (10, 20)), ("bytes=90-500", (90, 100)), ("bytes=-5", (95, 100)),
        ("bytes=-500", (0, 100)), ("bytes=99-99", (99, 100)), ("bytes=0-1,5-6", None), ("bytes=5-2", None),
        ("bytes=-", None), ("bytes=a-", None), ("items=0-1", None), ("", None), ("bytes=²-", None),
        (f"bytes={'9' * 5000}-", None),
    ],
)  # fmt: skip
def test_the_part_that_is_asked_for(wanted: str, found: tuple[int, int] | None) -> None:
    assert part(wanted, 100) == found


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_a_part_that_is_not_there(wanted: str) -> None:
    with pytest.raises(ValueError, match="below 100"):
        part(wanted, 100)


@given(st.text(), st.integers(0, 10**6))
def test_any_header_is_read_without_harm(wanted: str, size: int) -> None:
    try:
        found = part(f"bytes={wanted}", size)
    except ValueError:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


def test_the_page_says_that_it_is_served_and_may_ask_the_server(desk: Desk) -> None:
    stored = (desk.run / "report" / "review.html").read_text("utf-8")
    assert MARK not in stored
    page = desk.ask("review.html").body.decode()
    head, _, _ = page.partition("</head>")
    assert head.count(MARK) == 1
    assert head.count("connect-src") == 1
    assert "connect-src 'self'" in html.unescape(head)


def test_a_page_that_may_ask_already_is_left_alone() -> None:
    page = "<head><meta http-equiv='Content-Security-Policy' content=\"connect-src 'self'\"></head><p>connect</p>"
    assert served_page(page) == page.replace("</head>", f"{MARK}\n</head>")
    with pytest.raises(RunDirError, match="with a head"):
        served_page("<p>")


def test_media_come_in_parts_and_with_their_types(desk: Desk) -> None:
    video = next((desk.run / "report" / "media").glob("*.mp4"))
    data = video.read_bytes()
    whole = desk.ask(f"media/{video.name}")
    assert (whole.status, whole.body, whole.headers["accept-ranges"]) == (200, data, "bytes")
    assert whole.headers["content-type"] == "video/mp4"
    some = desk.ask(f"media/{video.name}", Range="bytes=100-199")
    assert (some.status, some.body) == (206, data[100:200])
    assert some.headers["content-range"] == f"bytes 100-199/{len(data)}"
    assert some.headers["content-length"] == "100"
    assert desk.ask(f"media/{video.name}", Range="bytes=-7").body == data[-7:]
    gone = desk.ask(f"media/{video.name}", Range=f"bytes={len(data)}-")
    assert (gone.status, gone.headers["content-range"]) == (416, f"bytes */{len(data)}")
    other = desk.ask(f"media/{video.name}", Range="bytes=0-9", If_Range='"x"')
    assert (other.status, len(other.body)) == (200, len(data))
    head = desk.ask(f"media/{video.name}", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(data)))
    types = {"assets/report.css": "text/css", "assets/player.js": "text/javascript",
             "assets/icon.svg": "image/svg+xml", "index.html": "text/html"}  # fmt: skip
    for path, kind in types.items():
        assert desk.ask(path).headers["content-type"].startswith(kind), path


@pytest.mark.parametrize(
    "path", ["../manifest.json", "%2e%2e/manifest.json", "..%2Fmanifest.json", "clips", "clips/", ".written",
             "%00", "api/", "api/other", "..%5cmanifest.json", "media/%ff"]
)  # fmt: skip
def test_nothing_else_is_served(desk: Desk, path: str) -> None:
    answer = desk.ask(path)
    assert answer.status == 404
    assert "content-security-policy" in answer.headers


def test_a_large_video_is_streamed(run: Path) -> None:
    data = bytes(range(256)) * 40_000
    (run / "report" / "media" / "large.mp4").write_bytes(data)
    with Desk(run) as desk:
        assert desk.ask("media/large.mp4").body == data
        assert desk.ask("media/large.mp4", Range="bytes=5-").body == data[5:]
