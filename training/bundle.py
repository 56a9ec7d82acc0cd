"""Puts trained networks where the package has them.

    python training/bundle.py --clip work/clip --video work/video --domain work/domain/network.pt

Prints the digests that ``vgaudit/zoo/catalogue.py`` pins.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path

BUNDLED = Path(__file__).resolve().parents[1] / "vgaudit" / "zoo" / "bundled"
CLIP_FILES = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)


def put(folder: Path, files: list[Path]) -> None:
    """One network's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    print(folder.name)
    for file in sorted(folder.iterdir()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"  {file.name}: {file.stat().st_size} bytes, sha256 {digest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True, help="folder that train_clip.py wrote")
    parser.add_argument("--video", type=Path, required=True, help="folder that train_video.py wrote")
    parser.add_argument("--domain", type=Path, required=True, help="network.pt that train_domain.py wrote")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    args = parser.parse_args()
    put(args.out / "storyworld-clip", [args.clip / name for name in CLIP_FILES])
    put(args.out / "storyworld-video", [args.video / "network.pt"])
    put(args.out / "storyworld-domain", [args.domain])


if __name__ == "__main__":
    main()
