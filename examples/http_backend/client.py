"""Asks an asynchronous HTTP service for one clip: submit, poll, download. For backend `command` of vgaudit.

    python client.py REQUEST.json --url https://video.example/v1

The service is expected to speak like most do; change the four functions that talk to it to fit yours:

    POST {url}/jobs               {"prompt", "seed", "video", "model"} -> 202 {"id"}
    GET  {url}/jobs/ID            {"status": queued|running|succeeded|failed|refused, "download", "cost", "reason"}
    GET  download                 the clip
    422 or 451                    the prompt is refused;  429: too many requests (Retry-After)

The token comes from the environment variable VIDEO_API_TOKEN. One call waits at most --wait seconds; if
the job is not done by then, the answer is `retry_after` with its id, and the next call polls that job.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

MAX_CLIP_BYTES = 2 * 2**30


class Client:
    """Talks to the service; the token is sent to its own host only."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.timeout_s = timeout_s
        self.opener = urllib.request.build_opener(NoRedirect())

    def submit(self, request: dict[str, Any]) -> str:
        body = {k: request[k] for k in ("prompt", "seed", "video", "model") if request.get(k) is not None}
        # Should this process die before the id is written down, the same key finds the same job again.
        headers = {"Content-Type": "application/json", "Idempotency-Key": request["sample_id"]}
        answer = self._json(urllib.request.Request(f"{self.url}/jobs", json.dumps(body).encode(), headers))
        return str(answer["id"])

    def poll(self, job_id: str) -> dict[str, Any]:
        return self._json(urllib.request.Request(f"{self.url}/jobs/{urllib.parse.quote(job_id, safe='')}"))

    def download(self, link: str, target: Path) -> None:
        address = urllib.parse.urljoin(f"{self.url}/", link)
        if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            raise ValueError(f"the service answered with a link that is not http: {address[:80]}")
        size = 0
        with self._open(urllib.request.Request(address)) as source, target.open("wb") as file:
            while block := source.read(2**20):
                size += len(block)
                if size > MAX_CLIP_BYTES:
                    raise ValueError(f"the clip is larger than {MAX_CLIP_BYTES} bytes")
                file.write(block)

    def _json(self, request: urllib.request.Request) -> dict[str, Any]:
        with self._open(request) as source:
            value = json.loads(source.read(2**20))
        if not isinstance(value, dict):
            raise ValueError("the service answered with something that is not a JSON object")
        return value

    def _open(self, request: urllib.request.Request) -> Any:
        if urllib.parse.urlsplit(request.full_url).netloc == urllib.parse.urlsplit(self.url).netloc:
            request.add_header("Authorization", f"Bearer {self.token}")
        return self.opener.open(request, timeout=self.timeout_s)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def ask(client: Client, request: dict[str, Any], answer: Answer, wait_s: float, interval_s: float) -> None:
    """Bring one request as far as `wait_s` allows and write down where it stands."""
    job_id = request.get("job_id")
    if not job_id:
        job_id = client.submit(request)
        # Written before anything else can go wrong: from here on the job is polled, never submitted again.
        answer.write(outcome="retry_after", job_id=job_id, retry_after_s=interval_s, message="submitted")
    deadline = time.monotonic() + wait_s
    while True:
        job = client.poll(job_id)
        status = job.get("status")
        known = {"job_id": job_id, "cost": job.get("cost"), "message": str(job.get("reason") or status)}
        if status == "succeeded":
            client.download(str(job["download"]), answer.folder / "clip.mp4")
            answer.write(outcome="ok", file="clip.mp4", **{**known, "message": ""})
        elif status == "refused":
            answer.write(outcome="refused_output", **known)
        elif status == "failed":
            answer.write(outcome="error", **known)
        elif time.monotonic() + interval_s > deadline:
            answer.write(outcome="retry_after", retry_after_s=interval_s, **known)
        else:
            time.sleep(interval_s)
            continue
        return


class Answer:
    """Writes response.json, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, **values: Any) -> None:
        new = self.folder / "response.json.new"
        new.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
        new.replace(self.folder / "response.json")


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask an asynchronous HTTP service for one clip.")
    parser.add_argument("request", type=Path, help="request file written by vgaudit")
    parser.add_argument("--url", required=True)
    parser.add_argument("--wait", type=float, default=30.0, help="seconds to wait for the job in this call")
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two polls")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one HTTP request")
    options = parser.parse_args()
    token = os.environ.get("VIDEO_API_TOKEN")
    if not token:
        print("VIDEO_API_TOKEN is not set; name it in `env` of the backend and export it", file=sys.stderr)
        return 2
    request = json.loads(options.request.read_text(encoding="utf-8"))
    answer = Answer(Path(request["output_dir"]))
    client = Client(options.url, token, options.timeout)
    try:
        ask(client, request, answer, options.wait, options.interval)
    except urllib.error.HTTPError as error:
        reason = (
            f"HTTP {error.code}: {error.read(2000).decode('utf-8', errors='replace').strip() or error.reason}"
        )
        if error.code in (422, 451) and not request.get("job_id"):
            answer.write(outcome="refused_input", message=reason)
        elif error.code == 429:
            after = error.headers.get("Retry-After", "")
            wait = float(after) if after.isdigit() else options.interval
            answer.write(
                outcome="retry_after", job_id=request.get("job_id"), retry_after_s=wait, message=reason
            )
        else:
            print(reason, file=sys.stderr)
            return 1
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
