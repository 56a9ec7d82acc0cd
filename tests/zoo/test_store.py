"""Weights on disk: fetched over a connection that breaks, verified, pinned, imported, listed."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from typer.testing import CliRunner

from vgaudit.cli.commands import app
from vgaudit.errors import Unavailable, UsageError
from vgaudit.progress import Silent
from vgaudit.zoo import fetch as fetching
from vgaudit.zoo import folders, store
from vgaudit.zoo.catalogue import WEIGHTS
from vgaudit.zoo.resolve import pinned_digest, resolve

DATA = bytes(range(256)) * 5000
SHA = hashlib.sha256(DATA).hexdigest()
HUB = WEIGHTS["i3d-kinetics400-styleganv"]


@dataclass
class Server:
    """What the server does, and what it was asked."""

    data: bytes = DATA
    etag: str = '"one"'
    ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)
    """For each answer in turn: bytes after which the connection ends; then whole answers."""
    status: int = 200
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            if state.status != 200:
                self.send_error(state.status)
                return
            start = 0
            if wanted and state.ranges and self.headers.get("If-Range") == state.etag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(state.data):
                    self.send_error(416)
                    return
            body = state.data[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.data) - 1}/{len(state.data)}")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", state.etag)
            self.end_headers()
            self.wfile.write(body[: state.breaks_after.pop(0)] if state.breaks_after else body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/w.pth"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("VGAUDIT_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for key in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)
    return tmp_path / "data" / "vgaudit" / "weights"


def entry(monkeypatch: pytest.MonkeyPatch, url: str, sha256: str | None = SHA, **other: str) -> None:
    made = replace(
        WEIGHTS["raft-large-c-t-v1"], name="mine", repo="some/one", filename="w.pth", url=url, sha256=sha256
    )
    monkeypatch.setitem(WEIGHTS, "mine", replace(made, **other))  # type: ignore[arg-type]


def pull(name: str = "mine", **options: Any) -> store.Checked:
    return store.pull(name, Silent(), **options)


def left(folder: Path) -> set[str]:
    return {path.name for path in (folder / "some" / "one").iterdir()} - {"w.pth.lock"}


def test_what_breaks_off_is_gone_on_with_and_only_the_whole_file_is_used(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path
) -> None:
    entry(monkeypatch, server.url)
    server.breaks_after = [300_000, 500_000]
    made = pull()
    assert (made.verdict, made.found, made.state.path) == ("ok", SHA, folder / "some" / "one" / "w.pth")
    assert server.asked == ["", "bytes=300000-", "bytes=800000-"]
    assert left(folder) == {"w.pth"}
    assert resolve("mine").path == made.state.path
    assert pull().verdict == "ok"  # and is not fetched again
    assert len(server.asked) == 3


def test_a_later_command_goes_on_where_an_earlier_one_stopped(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path
) -> None:
    entry(monkeypatch, server.url)
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    server.breaks_after = [700_000]
    with pytest.raises(Unavailable, match="could not be fetched in 1 attempts") as caught:
        pull()
    assert "700,000 bytes" in caught.value.remedy
    assert "vgaudit models import FILE --as mine" in caught.value.remedy
    assert store.state_of(WEIGHTS["mine"]).place == "partial"
    assert store.check(WEIGHTS["mine"]).verdict == "absent"
    with pytest.raises(Unavailable):
        resolve("mine")
    assert pull().verdict == "ok"
    assert server.asked == ["", "bytes=700000-"]


@pytest.mark.parametrize("how", ["other file", "no ranges"])
def test_parts_of_two_files_are_never_put_together(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path, how: str
) -> None:
    entry(monkeypatch, server.url)
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    old = server.data
    if how == "other file":
        server.data = b"x" * len(DATA)
    server.breaks_after = [400_000]
    with pytest.raises(Unavailable):
        pull()
    server.data, server.etag, server.ranges = old, '"two"', how != "no ranges"
    assert pull().verdict == "ok"
    assert (folder / "some" / "one" / "w.pth").read_bytes() == DATA


def test_another_file_than_the_pinned_one_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path
) -> None:
    entry(monkeypatch, server.url, "1" * 64)
    with pytest.raises(Unavailable, match=f"has sha256 {SHA}, but mine is pinned to 1111"):
        pull()
    assert left(folder) == set()
    entry(monkeypatch, server.url, None, sha256_prefix="00000000")
    with pytest.raises(Unavailable, match="its name says 00000000"):
        pull(sha256=SHA)
    assert left(folder) == set()
    assert folders.pins(folder) == {}


def test_without_an_established_digest_it_is_used_only_once_the_user_states_it(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path
) -> None:
    entry(monkeypatch, server.url, None)
    made = pull()
    assert (made.verdict, made.found) == ("not established", SHA)
    assert left(folder) == {"w.pth.unverified"}
    assert pinned_digest("mine") == "absent"
    with pytest.raises(Unavailable, match="no digest is established"):
        resolve("mine")
    with pytest.raises(Unavailable, match="--sha256 states 1111") as caught:
        pull(sha256="1" * 64)  # mistyped: what was fetched is kept
    kept = folder / "some" / "one" / "w.pth.unverified"
    assert f"stays at {kept}: state {SHA} if you trust it, or delete it" in caught.value.remedy
    assert pull(sha256=SHA.upper()).verdict == "ok"
    assert len(server.asked) == 1
    assert json.loads((folder / "pins.json").read_text()) == {"mine": SHA}
    assert pinned_digest("mine") == SHA
    assert resolve("mine").pinned
    (folder / "some" / "one" / "w.pth").write_bytes(b"changed")
    with pytest.raises(Unavailable, match="pinned to"):
        resolve("mine")
    assert store.check(WEIGHTS["mine"]).verdict == "differs"
    assert pull().verdict == "ok"  # a damaged file is fetched anew
    assert (folder / "some" / "one" / "w.pth").read_bytes() == DATA


def test_half_a_copy_is_never_taken_for_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, server: Server
) -> None:
    entry(monkeypatch, server.url, None)
    file = tmp_path / "w"
    file.write_bytes(DATA)

    def broken(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(store.shutil, "copyfile", broken)
        with pytest.raises(KeyboardInterrupt):
            store.take_in(file, "mine", sha256=SHA)
        assert left(folder) == set()
    assert pull().found == SHA
    quarantined = folder / "some" / "one" / "w.pth.unverified"
    assert store.take_in(quarantined, "mine", sha256=SHA).verdict == "ok"


def test_nothing_is_asked_where_the_network_is_ruled_out(
    monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    entry(monkeypatch, server.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        pull()
    assert server.asked == []


def test_a_pin_never_replaces_an_established_digest(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir(parents=True)
    folders.record_pin(folder, HUB.name, "2" * 64)
    assert pinned_digest(HUB.name) == HUB.sha256
    assert folders.pinned_by_user(HUB.name) is None
    with pytest.raises(UsageError, match="is another file's"):
        pull(HUB.name, sha256="2" * 64)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"), ("[" * 100_000, "cannot be read"), ("[]", "expected a mapping"),
        ('{"mine": 3}', "64 hexadecimal digits"), ('{"mine": "ABC"}', "64 hexadecimal digits"),
    ],
)  # fmt: skip
def test_damaged_pins_are_an_error_and_not_no_pins(
    monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, why: str
) -> None:
    entry(monkeypatch, "http://127.0.0.1:9/w.pth", None)
    folder.mkdir(parents=True)
    (folder / "pins.json").write_text(text)
    with pytest.raises(UsageError, match=why):
        pinned_digest("mine")


def test_two_pulls_at_once_are_one(monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path) -> None:
    entry(monkeypatch, server.url)
    target = folder / "some" / "one" / "w.pth"
    target.parent.mkdir(parents=True)
    with store._alone(target), pytest.raises(Unavailable, match="another process is fetching"):
        pull()
    assert server.asked == []
    assert pull().verdict == "ok"


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_refuses_is_said(monkeypatch: pytest.MonkeyPatch, server: Server, status: int) -> None:
    entry(monkeypatch, server.url)
    server.status = status
    with pytest.raises(Unavailable, match=str(status)):
        pull()
    assert len(server.asked) == (1 if status == 404 else fetching.ATTEMPTS)


def test_a_folder_that_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    entry(monkeypatch, server.url)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be written"):
        pull(folder=tmp_path / "taken")


def test_files_of_the_hub_stay_in_its_cache_unless_a_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    entry(monkeypatch, "", SHA)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        pull()
    asked: list[tuple[str, str, str]] = []

    def fetch(repo: str, filename: str, *, revision: str, etag_timeout: float, force_download: bool) -> str:
        assert not force_download
        asked.append((repo, filename, revision))
        path = tmp_path / "hub" / "blob"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(DATA)
        return str(path)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("vgaudit.zoo.resolve.hub_answers", lambda _: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert pull().state.path == tmp_path / "hub" / "blob"
    assert asked == [("some/one", "w.pth", "")]
    made = pull(folder=tmp_path / "mirror")
    assert made.state.path == tmp_path / "mirror" / "some" / "one" / "w.pth"
    assert (tmp_path / "hub" / "blob").read_bytes() == DATA
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path / "mirror"))
    assert resolve("mine").path == made.state.path


def test_a_damaged_file_that_would_be_taken_first_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    """However right the file that was just imported is: a run would be refused, or take the other one."""
    entry(monkeypatch, "http://127.0.0.1:9/w.pth")
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path / "first"))
    damaged = tmp_path / "first" / "some" / "one" / "w.pth"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    file = tmp_path / "w"
    file.write_bytes(DATA)
    with pytest.raises(Unavailable, match="is found first") as caught:
        store.take_in(file, "mine", folder=folder)
    assert caught.value.remedy == f"delete {damaged}"
    damaged.unlink()
    assert store.take_in(file, "mine", folder=folder).verdict == "ok"


def test_every_file_of_a_bundled_network_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import shutil

    from vgaudit.zoo import resolve as resolving

    shutil.copytree(resolving.BUNDLED, tmp_path / "bundled")
    monkeypatch.setattr(resolving, "BUNDLED", tmp_path / "bundled")
    assert store.check(WEIGHTS["storyworld-clip"]).verdict == "ok"
    (tmp_path / "bundled" / "storyworld-clip" / "tokenizer.json").write_text("{}")
    with pytest.raises(Unavailable, match=r"tokenizer\.json"):
        store.check(WEIGHTS["storyworld-clip"])


@pytest.mark.parametrize("digest", ["nonsense", "1" * 63, "g" * 64])
def test_a_digest_that_is_none_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, server: Server, digest: str
) -> None:
    entry(monkeypatch, server.url, None)
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        pull(sha256=digest)
    assert server.asked == []


def test_an_import_is_verified_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    file = tmp_path / "from a stick"
    file.write_bytes(DATA)
    entry(monkeypatch, "http://127.0.0.1:9/w.pth", None)
    with pytest.raises(UsageError, match=f"--sha256 {SHA}"):
        store.take_in(file, "mine")
    with pytest.raises(Unavailable, match="pinned to 1111"):
        store.take_in(file, "mine", sha256="1" * 64)
    assert not folder.exists()
    made = store.take_in(file, "mine", sha256=SHA)
    assert (made.verdict, made.state.path) == ("ok", folder / "some" / "one" / "w.pth")
    assert file.read_bytes() == DATA
    assert resolve("mine").sha256 == SHA
    assert store.take_in(file, "mine").verdict == "ok"  # by the pin that is written down now
    with pytest.raises(UsageError, match="ships with vgaudit"):
        store.take_in(file, "storyworld-clip")
    with pytest.raises(UsageError, match="did you mean"):
        store.take_in(file, "storyworld-clp")
    with pytest.raises(UsageError, match="no file at"):
        store.take_in(tmp_path / "none", "mine")


@dataclass
class Hub:
    """The hub, and a cache whose files may be damaged: what is asked, and what comes."""

    path: Path
    sends: bytes = DATA
    forced: list[bool] = field(default_factory=list)

    def __call__(self, *_: str, force_download: bool, **__: object) -> str:
        self.forced.append(force_download)
        self.path.parent.mkdir(exist_ok=True)
        if force_download or not self.path.exists():
            self.path.write_bytes(self.sends)
        return str(self.path)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    made = Hub(tmp_path / "hub" / "blob")
    made.path.parent.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("vgaudit.zoo.resolve.hub_answers", lambda _: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", made)
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda *_, **__: str(made.path) if made.path.exists() else None,
    )
    return made


def test_a_damaged_file_in_the_hubs_cache_is_fetched_anew_once(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, tmp_path: Path
) -> None:
    entry(monkeypatch, "")
    hub.path.write_bytes(b"damaged")
    assert pull().verdict == "ok"
    assert (hub.forced, hub.path.read_bytes()) == ([True], DATA)
    hub.path.write_bytes(b"damaged")
    made = pull(folder=tmp_path / "mirror")
    assert (made.verdict, hub.forced) == ("ok", [True, True])
    hub.path.write_bytes(b"damaged")
    hub.sends = b"and so is what comes"
    with pytest.raises(Unavailable, match="mine is pinned to") as caught:
        pull()
    assert (hub.forced[2:], f"stays at {hub.path}" in caught.value.remedy) == ([True], True)
    hub.path.unlink()
    with pytest.raises(Unavailable, match="mine is pinned to"):
        pull()
    assert hub.forced[3:] == [False, True]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="here are damaged or other ones, and HF_HUB_OFFLINE is set"):
        pull()


def test_what_lies_beside_and_contradicts_a_pin_is_fetched_anew(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path
) -> None:
    entry(monkeypatch, server.url, None)
    server.data = b"an older file"
    pull()
    folders.record_pin(folder, "mine", SHA)
    kept = folder / "some" / "one" / "w.pth.unverified"
    with pytest.raises(Unavailable, match="mine is pinned to") as caught:
        pull()
    assert f"stays at {kept} until it is fetched anew" in caught.value.remedy
    assert len(server.asked) == 2
    server.data, server.etag = DATA, '"two"'
    notes: list[str] = []
    progress = Silent()
    monkeypatch.setattr(progress, "note", notes.append, raising=False)
    assert store.pull("mine", progress).verdict == "ok"
    assert any(str(kept) in note and "fetched anew" in note for note in notes)
    assert left(folder) == {"w.pth"}


def test_a_file_that_cannot_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    entry(monkeypatch, "http://127.0.0.1:9/w.pth")
    file = folder / "some" / "one" / "w.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(DATA)
    (tmp_path / "mine.pth").write_bytes(DATA)

    def broken(path: Path, *_: object) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("vgaudit.zoo.resolve._hash", broken)
    run = CliRunner()
    for command in ("verify", "pull"):
        made = run.invoke(app, ["models", command, "mine"])
        assert (made.exit_code, f"{file} cannot be read: Input/output error" in made.output) == (4, True)
    for use in (resolve, pinned_digest):
        with pytest.raises(Unavailable, match="cannot be read: Input/output error"):
            use(str(file))
    with pytest.raises(UsageError, match="cannot be read: Input/output error; expected a file of weights"):
        store.take_in(tmp_path / "mine.pth", "mine")


def test_without_a_home_folder(monkeypatch: pytest.MonkeyPatch, hub: Hub, tmp_path: Path) -> None:
    def nobody(path: Path) -> Path:
        if str(path).startswith("~"):
            raise RuntimeError("Could not determine home directory.")
        return path

    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", nobody)
    entry(monkeypatch, "http://127.0.0.1:9/w.pth")
    assert folders.weights_folders() == ()
    assert store.state_of(WEIGHTS["mine"]).place == "absent"
    assert CliRunner().invoke(app, ["models", "list"]).exit_code == 0
    with pytest.raises(UsageError, match=r"no home folder is known .* set VGAUDIT_WEIGHTS"):
        pull()
    with pytest.raises(UsageError, match="HOME is not set"):
        resolve("~/w.pth")
    monkeypatch.setenv("VGAUDIT_WEIGHTS", "~/weights")
    with pytest.raises(UsageError, match="~/weights: which home folder ~ is cannot be told"):
        pull()
    monkeypatch.delenv("VGAUDIT_WEIGHTS")
    entry(monkeypatch, "")
    assert pull().verdict == "ok"  # the hub's cache needs none


def test_another_file_is_not_imported_under_a_name_that_says_its_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    """What is said is said of the file at hand: nothing was fetched."""
    file = tmp_path / "from a stick"
    file.write_bytes(DATA)
    entry(monkeypatch, "http://127.0.0.1:9/w.pth", None, sha256_prefix="00000000")
    for stated in (None, SHA):
        with pytest.raises(Unavailable) as caught:
            store.take_in(file, "mine", sha256=stated)
        assert caught.value.reason == (
            f"{file} has sha256 {SHA}, but that of w.pth begins with 00000000, as its published name says"
        )
    assert not folder.exists()
    entry(monkeypatch, "http://127.0.0.1:9/w.pth")
    real = store.file_sha256
    copied = folder / "some" / "one" / "w.pth.copy"
    monkeypatch.setattr(store, "file_sha256", lambda p: "2" * 64 if p == copied else real(p))
    with pytest.raises(Unavailable) as caught:  # it changed under the hand
        store.take_in(file, "mine")
    assert caught.value.reason == f"{file} has sha256 {'2' * 64}, but mine is pinned to {SHA}"


@pytest.mark.parametrize("how", ["relative", "link", "dots"])
def test_a_folder_is_one_folder_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path, tmp_path: Path, how: str
) -> None:
    """Else a pin of a folder that comes first would go on counting, without a word."""
    entry(monkeypatch, server.url, None)
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(first))
    folders.record_pin(first, "mine", "1" * 64)
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    written = {
        "relative": folder.relative_to(tmp_path), "link": tmp_path / "link", "dots": folder / ".." / "weights",
    }[how]  # fmt: skip
    file = tmp_path / "w"
    file.write_bytes(DATA)
    for put in (
        lambda **o: pull(sha256=SHA, folder=written, **o),
        lambda **o: store.take_in(file, "mine", sha256=SHA, folder=written, **o),
    ):
        with pytest.raises(UsageError, match="--replace"):
            put()
        with pytest.raises(UsageError, match=f"{first} is looked into before {folder}, so the old one"):
            put(replace=True)
    assert (folders.pins(folder), server.asked) == ({}, [])
    (first / folders.PINS).unlink()
    damaged = first / "some" / "one" / "w.pth"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    with pytest.raises(Unavailable, match="is found first"):
        store.take_in(file, "mine", sha256=SHA, folder=written)
    damaged.unlink()
    made = store.take_in(file, "mine", sha256=SHA, folder=written)
    assert made.state.path == folder / "some" / "one" / "w.pth"


def test_a_folder_that_is_a_circle_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry(monkeypatch, "http://127.0.0.1:9/w.pth")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises((UsageError, Unavailable), match=r"expected a folder|cannot be written"):
        pull(folder=tmp_path / "a")


def test_a_pin_is_replaced_only_if_that_is_said(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path, tmp_path: Path
) -> None:
    entry(monkeypatch, server.url, None)
    folder.mkdir(parents=True)
    folders.record_pin(folder, "mine", "1" * 64)
    file = tmp_path / "w"
    file.write_bytes(DATA)
    for put in (lambda **o: pull(sha256=SHA, **o), lambda **o: store.take_in(file, "mine", sha256=SHA, **o)):
        with pytest.raises(UsageError, match=f"pinned to {'1' * 64} in .*states {SHA}.*--replace"):
            put()
        assert (folders.pins(folder), server.asked) == ({"mine": "1" * 64}, [])
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(tmp_path / "first"))
    with pytest.raises(UsageError, match="--replace"):  # in a folder that comes first it would count alone
        store.take_in(file, "mine", sha256=SHA)
    monkeypatch.setenv("VGAUDIT_WEIGHTS", str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "later"))
    later = tmp_path / "later" / "vgaudit" / "weights"
    with pytest.raises(UsageError, match=f"is looked into before {later}, .*--to {folder}"):
        store.take_in(file, "mine", sha256=SHA, folder=later, replace=True)
    aside = tmp_path / "for another machine"
    assert store.take_in(file, "mine", sha256=SHA, folder=aside).verdict == "ok"
    made = CliRunner().invoke(
        app, ["models", "import", str(file), "--as", "mine", "--sha256", SHA, "--replace"]
    )
    assert (made.exit_code, folders.pins(folder)) == (0, {"mine": SHA})


# -- the command line ------------------------------------------------------------------------------


def test_the_list_says_where_everything_is(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path
) -> None:
    entry(monkeypatch, server.url)
    run = CliRunner()
    listed = run.invoke(app, ["models", "list"])
    assert listed.exit_code == 0
    lines = listed.output.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last one is a path
    first = {line.split()[0]: line for line in lines if line[0] != " "}
    assert WEIGHTS.keys() <= first.keys()
    assert first["mine"].split() == ["mine", "absent", "?", "MB", "127.0.0.1"]
    assert first["storyworld-clip"].split()[1:4] == ["here:", "package", "5.4"]
    assert lines[lines.index(first["mine"]) + 1].split()[:3] == ["sha256", SHA[:8], "(catalogue)"]
    monkeypatch.setenv("COLUMNS", "40")
    assert run.invoke(app, ["models", "list"]).output == listed.output
    details = run.invoke(app, ["models", "list", "mine", HUB.name])
    assert f"source   {server.url}\n" in details.output
    assert f"source   {HUB.repo}@{HUB.revision} {HUB.filename}\n" in details.output
    assert f"sha256   {SHA} (catalogue)\n" in details.output
    assert run.invoke(app, ["models", "list", "mne"]).exit_code != 0
    rows = {row["name"]: row for row in json.loads(run.invoke(app, ["models", "list", "--json"]).output)}
    assert rows.keys() == WEIGHTS.keys()
    assert (rows["mine"]["sha256"], rows["mine"]["pinned_by"], rows["mine"]["path"]) == (
        SHA,
        "catalogue",
        None,
    )
    pulled = run.invoke(app, ["models", "pull", "mine"])
    assert (pulled.exit_code, "verified (catalogue)" in pulled.output) == (0, True)
    (line,) = [x for x in run.invoke(app, ["models", "list"]).output.splitlines() if x.startswith("mine ")]
    assert line.split()[1:] == ["here:", "folder", "1.3", "MB", "127.0.0.1"]


def test_commands_end_with_the_exit_code_of_what_they_found(
    monkeypatch: pytest.MonkeyPatch, server: Server, folder: Path, tmp_path: Path
) -> None:
    entry(monkeypatch, server.url, None)
    run = CliRunner()
    first = run.invoke(app, ["models", "pull", "mine", "--quiet"])
    assert (first.exit_code, f"vgaudit models pull mine --sha256 {SHA}" in first.output) == (4, True)
    assert run.invoke(app, ["models", "verify", "mine"]).exit_code == 4
    assert run.invoke(app, ["models", "pull", "mine", "--quiet", "--sha256", SHA]).exit_code == 0
    checked = run.invoke(app, ["models", "verify", "mine"])
    assert (checked.exit_code, checked.output) == (0, "mine: ok (folder, pins.json)\n")
    (folder / "some" / "one" / "w.pth").write_bytes(b"changed")
    every = run.invoke(app, ["models", "verify"])
    assert (every.exit_code, "mine: differs" in every.output, "storyworld-video: ok" in every.output) == (
        4,
        True,
        True,
    )
    file = tmp_path / "w"
    file.write_bytes(DATA)
    taken = run.invoke(app, ["models", "import", str(file), "--as", "mine", "--to", str(tmp_path / "other")])
    assert (taken.exit_code, f"set VGAUDIT_WEIGHTS={tmp_path / 'other'}" in taken.output) == (0, True)
