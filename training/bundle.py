"""Puts trained networks where the package has them.

    python training/bundle.py --clip work/clip --video work/video --domain work/domain/network.pt
    python training/bundle.py --t2v work/t2v/pipeline --gan work/gan

Prints the digests that ``vgaudit/zoo/catalogue.py`` and ``vgaudit/zoo/generators.py`` pin.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vgaudit.zoo.generators import BUNDLED_GAN, BUNDLED_T2V

BUNDLED = Path(__file__).resolve().parents[1] / "vgaudit" / "zoo" / "bundled"
_SETTINGS = ("config.json", "model_index.json", "tokenizer_config.json")
"""Rewritten: the tokenizer's class has a name that transformers 4 does not know, and says how it was loaded."""
_OF_THE_MACHINE = ("_name_or_path", "is_local", "local_files_only", "backend")
CLIP_FILES = (
    "open_clip_config.json",
    "open_clip_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)


def put(folder: Path, files: list[Path], base: Path | None = None) -> None:
    """One network's folder; files keep their place below ``base``."""
    for file in files:
        to = folder / (file.relative_to(base) if base else file.name)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
        if base and file.name in _SETTINGS:
            settings = json.loads(
                file.read_text("utf-8").replace("TokenizersBackend", "PreTrainedTokenizerFast")
            )
            kept = {k: v for k, v in settings.items() if k not in _OF_THE_MACHINE}
            to.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", "utf-8")
    print(folder.name)
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "README.md"):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"  {file.relative_to(folder).as_posix()}: {file.stat().st_size} bytes, sha256 {digest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, help="folder that train_clip.py wrote")
    parser.add_argument("--video", type=Path, help="folder that train_video.py wrote")
    parser.add_argument("--domain", type=Path, help="network.pt that train_domain.py wrote")
    parser.add_argument("--t2v", type=Path, help="folder `pipeline` that train_t2v.py wrote")
    parser.add_argument("--gan", type=Path, help="folder that train_gan.py wrote")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    args = parser.parse_args()
    if not any((args.clip, args.video, args.domain, args.t2v, args.gan)):
        parser.error("name at least one network")
    if args.clip:
        put(args.out / "storyworld-clip", [args.clip / name for name in CLIP_FILES])
    if args.video:
        put(args.out / "storyworld-video", [args.video / "network.pt"])
    if args.domain:
        put(args.out / "storyworld-domain", [args.domain])
    if args.t2v:
        files = [p for p in args.t2v.rglob("*") if p.suffix in (".json", ".safetensors")]
        put(args.out / BUNDLED_T2V, files, args.t2v)
    if args.gan:
        put(args.out / BUNDLED_GAN, [args.gan / "generator.safetensors"])


if __name__ == "__main__":
    main()
