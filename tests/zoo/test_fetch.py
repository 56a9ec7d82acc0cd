from __future__ import annotations

import errno
import json
import random
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.file_server import FileServer, serving
from vgaudit.errors import Unavailable
from vgaudit.progress import Silent
from vgaudit.zoo import fetch as module
from vgaudit.zoo.fetch import fetch, told_path

DATA = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
HALF = 150_000

pytestmark = pytest.mark.usefixtures("own_world")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(DATA) as told:
        yield told


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "w.pt.part"


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps = 0
        self.totals: list[int] = []

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Heard]:
        self.totals.append(total)
        yield self

    def advance(self, detail: str = "") -> None:
        self.steps += 1

    def note(self, text: str) -> None:
        self.notes.append(text)


def begun(server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first half was fetched, then the connection broke and the program gave up."""
    server.cuts = [HALF]
    with monkeypatch.context() as patch:
        patch.setattr(module, "ATTEMPTS", 1)
        with pytest.raises(Unavailable, match=f"ended after {HALF} of {len(DATA)} bytes"):
            fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA[:HALF]


def test_a_whole_file(server: FileServer, part: Path) -> None:
    heard = Heard()
    fetch(server.url, part, heard)
    assert part.read_bytes() == DATA
    assert server.requests == [""]
    assert (heard.totals, heard.steps) == ([1], 1)


def test_a_broken_connection_goes_on_where_it_ended(server: FileServer, part: Path) -> None:
    server.cuts = [HALF, 50_000]
    heard = Heard()
    fetch(server.url, part, heard)
    assert part.read_bytes() == DATA
    assert server.requests == ["", f"bytes={HALF}-", f"bytes={HALF + 50_000}-"]
    assert any("attempt 2 of 5" in note for note in heard.notes)


def test_the_next_call_goes_on(server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(server, part, monkeypatch)
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA
    assert server.requests == ["", f"bytes={HALF}-"]
    fetch(server.url, part, Silent())  # whole: nothing is asked
    assert len(server.requests) == 2


def test_dates_serve_where_there_is_no_tag(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.etag, server.modified = None, "Mon, 02 Mar 2026 10:00:00 GMT"
    begun(server, part, monkeypatch)
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA
    assert server.requests[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_promise_of_equal_bytes_it_begins_anew(
    etag: str | None, server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.etag = etag
    begun(server, part, monkeypatch)
    server.data = OTHER
    fetch(server.url, part, Silent())
    assert part.read_bytes() == OTHER
    assert server.requests == ["", ""]


def test_a_server_that_ignores_ranges_sends_all_of_it_again(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ranges = False
    begun(server, part, monkeypatch)
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA
    assert server.requests == ["", f"bytes={HALF}-"]


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("dated", [True, False])
def test_a_changed_file_is_never_glued(
    heeds: bool, dated: bool, server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dated:
        server.etag, server.modified = None, "Mon, 02 Mar 2026 10:00:00 GMT"
    begun(server, part, monkeypatch)
    server.data, server.heeds_if_range = OTHER, heeds
    if dated:
        server.modified = "Tue, 03 Mar 2026 10:00:00 GMT"
    else:
        server.etag = '"two"'
    fetch(server.url, part, Silent())
    assert part.read_bytes() == OTHER
    assert server.requests == ["", f"bytes={HALF}-", *([] if heeds else [""])]


def test_a_part_without_its_tag_in_the_answer_is_not_trusted(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(server, part, monkeypatch)
    server.data, server.heeds_if_range, server.etag = OTHER, False, None
    fetch(server.url, part, Silent())
    assert part.read_bytes() == OTHER


def test_a_file_that_became_shorter(server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(server, part, monkeypatch)
    server.data, server.heeds_if_range = DATA[:1000], False
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA[:1000]


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', "nonsense", '{"url": "u", "etag": 3}', None])
def test_a_part_nobody_can_say_anything_of_is_not_used(
    text: str | None, server: FileServer, part: Path
) -> None:
    part.write_bytes(OTHER[:HALF])
    if text is not None:
        told_path(part).write_text(text)
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA
    assert server.requests == [""]


def test_a_part_of_another_address_or_too_long_is_not_used(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in ({"url": "http://127.0.0.1/other"}, {"total": 10}):
        begun(server, part, monkeypatch)
        told = json.loads(told_path(part).read_text())
        told_path(part).write_text(json.dumps({**told, **change}))
        server.requests.clear()
        fetch(server.url, part, Silent())
        assert server.requests == [""]
        assert part.read_bytes() == DATA
        module.discard(part)


def test_passing_trouble_is_tried_again_and_a_refusal_is_not(server: FileServer, part: Path) -> None:
    server.statuses = [503, 429]
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA
    module.discard(part)
    server.requests.clear()
    server.statuses = [404]
    with pytest.raises(Unavailable, match="the server answered 404"):
        fetch(server.url, part, Silent())
    assert server.requests == [""]
    server.statuses = [500] * module.ATTEMPTS
    with pytest.raises(Unavailable, match=r"in 5 attempts: .*500"):
        fetch(server.url, part, Silent())
    assert not part.exists()


def test_nothing_listens(part: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match=r"could not be fetched in 5 attempts: .*refused"):
        fetch(f"http://127.0.0.1:{port}/x", part, Silent())


def test_a_silent_server_costs_a_time_out(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(Unavailable, match="timed out"):
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x", part, Silent())


def test_another_size_is_refused_before_it_is_fetched(server: FileServer, part: Path) -> None:
    with pytest.raises(Unavailable, match="expected a file of 7 bytes, the server offers one of 300000"):
        fetch(server.url, part, Silent(), size=7)
    assert not part.exists()


def test_an_end_nobody_told(server: FileServer, part: Path) -> None:
    server.length = False
    fetch(server.url, part, Silent())
    assert part.read_bytes() == DATA
    with pytest.raises(Unavailable, match="does not tell the file's length"):
        fetch(server.url, part, Silent(), length_needed=True)


def test_a_known_size_is_held_to_where_the_server_tells_none(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.length = False
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    server.cuts = [HALF, HALF]
    with pytest.raises(Unavailable, match="ended after 150000 of 300000 bytes"):
        fetch(server.url, part, Silent(), size=len(DATA))
    fetch(server.url, part, Silent(), size=len(DATA))
    assert part.read_bytes() == DATA
    with pytest.raises(Unavailable, match="300000 bytes came, expected 299999"):
        fetch(server.url, part, Silent(), size=len(DATA) - 1)
    assert not part.exists()


def test_a_whole_part_of_another_size_is_not_taken(server: FileServer, part: Path) -> None:
    fetch(server.url, part, Silent())
    with pytest.raises(Unavailable, match="expected a file of 7 bytes, the server offers one of 300000"):
        fetch(server.url, part, Silent(), size=7)


def test_only_web_addresses(part: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    with pytest.raises(Unavailable, match="expected an address that begins with https"):
        fetch((tmp_path / "x").as_uri(), part, Silent())
    with serving(DATA) as server:
        server.redirect = "ftp://127.0.0.1/x"
        with pytest.raises(Unavailable):
            fetch(server.url, part, Silent())
    assert not part.exists()


def test_a_full_disk_is_seen_before(server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(Unavailable, match="300000 bytes are needed and 10 are free") as caught:
        fetch(server.url, part, Silent())
    assert "--to" in caught.value.remedy


def test_a_disk_that_fills_up_keeps_what_is_there(
    server: FileServer, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", full)
        with pytest.raises(Unavailable, match=r"cannot be written: No space left on device") as caught:
            fetch(server.url, part, Silent())
    assert "make room" in caught.value.remedy


def test_a_folder_that_is_a_file(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        fetch(server.url, tmp_path / "folder" / "w.part", Silent())
