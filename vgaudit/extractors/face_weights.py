"""Face model files that come inside wheels: where they lie, and that their bytes are the ones we know.

The files are found through the installed distribution's metadata, because importing
``face_recognition_models`` fails where ``pkg_resources`` is gone, and importing ``facenet_pytorch`` imports
torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from vgaudit.errors import Unavailable
from vgaudit.zoo.resolve import file_sha256


def installed_release(*names: str) -> str:
    """Version of the first of these distributions that is installed, without importing it; else ``absent``."""
    for name in names:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "absent"


@dataclass(frozen=True)
class WheelFile:
    """A file of an installed distribution.

    Attributes:
        requirement: What to install, e.g. ``facenet-pytorch==2.5.3``.
        path: Path below the folder the distribution is installed in.
        sha256: Digest of the only content that is accepted.
    """

    requirement: str
    path: str
    sha256: str

    def verified(self) -> Path:
        """Where the file lies, after its digest was checked.

        Raises:
            Unavailable: The package or the file is missing, or the content is another.
        """
        name = self.requirement.partition("==")[0]
        remedy = f"pip install --force-reinstall '{self.requirement}'"
        try:
            path = Path(str(distribution(name).locate_file(self.path)))
        except PackageNotFoundError:
            raise Unavailable(
                f"the package {name} is not installed", f"pip install '{self.requirement}'"
            ) from None
        try:
            found = file_sha256(path)
        except Unavailable as error:
            raise Unavailable(f"{name} lacks its file {self.path} ({error.reason})", remedy) from error
        if found != self.sha256:
            reason = f"{self.path} of {name} has sha256 {found[:16]}..., expected {self.sha256[:16]}..."
            raise Unavailable(reason, remedy)
        return path


_MODELS = "face_recognition_models/models/"
_DLIB = "face-recognition-models==0.3.0"
_MTCNN = "facenet-pytorch==2.5.3"

DLIB_NET = WheelFile(
    _DLIB,
    f"{_MODELS}dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
DLIB_LANDMARKS = WheelFile(
    _DLIB,
    f"{_MODELS}shape_predictor_5_face_landmarks.dat",
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
)
MTCNN_NETS = (
    WheelFile(
        _MTCNN,
        "facenet_pytorch/data/pnet.pt",
        "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    ),
    WheelFile(
        _MTCNN,
        "facenet_pytorch/data/rnet.pt",
        "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    ),
    WheelFile(
        _MTCNN,
        "facenet_pytorch/data/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    ),
)
