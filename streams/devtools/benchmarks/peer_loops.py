"""The usual loops of face_recognition and deepface, as their documentations have them; runs in their environments.

``python peer_loops.py NAME FOLDER`` enrols ``FOLDER/known/<person>.jpg``, names the person in each of
``FOLDER/frames/<number>-<person>.jpg``, and prints one JSON object. It imports nothing of facestream.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Name = Callable[[Path], "str | None"]
"""The name of the person in a picture, or None."""


def by_face_recognition(known: dict[str, Path]) -> Name:
    """HOG detection and dlib's ResNet; the nearest within the library's own tolerance of 0.6."""
    import face_recognition

    names = list(known)
    encodings = [face_recognition.face_encodings(face_recognition.load_image_file(path))[0] for path in known.values()]

    def name(path: Path) -> str | None:
        picture = face_recognition.load_image_file(path)
        for face in face_recognition.face_encodings(picture, face_recognition.face_locations(picture)):
            distances = face_recognition.face_distance(encodings, face)
            matches = face_recognition.compare_faces(encodings, face)
            best = int(distances.argmin())
            if matches[best]:
                return names[best]
        return None

    return name


def by_deepface(known: dict[str, Path]) -> Name:
    """OpenCV's detection and SFace; the nearest by cosine within deepface's own threshold for it."""
    from deepface import DeepFace
    from deepface.modules import verification

    def vectors(path: Path) -> list[Any]:
        found = DeepFace.represent(str(path), model_name="SFace", detector_backend="opencv", enforce_detection=False)
        return [face["embedding"] for face in found]

    enrolled = {name: vectors(path)[0] for name, path in known.items()}
    threshold = verification.find_threshold("SFace", "cosine")

    def name(path: Path) -> str | None:
        for face in vectors(path):
            distances = {one: verification.find_cosine_distance(face, vector) for one, vector in enrolled.items()}
            best = min(distances, key=lambda one: distances[one])
            if distances[best] <= threshold:
                return best
        return None

    return name


LOOPS: dict[str, Callable[[dict[str, Path]], Name]] = {
    "face_recognition": by_face_recognition,
    "deepface": by_deepface,
}


def main(peer: str, folder: Path) -> None:
    """Time the loop over the frames, behind one for warming up, and print the figures."""
    name = LOOPS[peer]({path.stem: path for path in sorted((folder / "known").glob("*.jpg"))})
    frames = sorted((folder / "frames").glob("*.jpg"))
    name(frames[0])
    began, used_s = time.perf_counter(), time.process_time()
    correct = sum(name(path) == path.stem.partition("-")[2] for path in frames)
    took_s, used_s = time.perf_counter() - began, time.process_time() - used_s
    print(
        json.dumps(
            {
                "frames_per_s": round(len(frames) / took_s, 2),
                "cpu_ms_per_frame": round(1000 * used_s / len(frames), 2),
                "correct": round(correct / len(frames), 3),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
