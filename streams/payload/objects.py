"""Pictures in object stores, through fsspec."""

from __future__ import annotations

import importlib.util

import fsspec  # type: ignore[import-untyped]
from fsspec.exceptions import FSTimeoutError  # type: ignore[import-untyped]

from schemas.reasons import Reason
from streams.payload.errors import PayloadRefused, PayloadUnavailable
from streams.payload.roots import RootsError

TIMEOUT_S = 15.0
EXTRAS = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3")}
"""Scheme to the package that reads it, and the extra of facestream that brings the package."""


def check_installed(scheme: str) -> None:
    """Check that the package for a scheme is there.

    Raises:
        RootsError: it is not.
    """
    package, extra = EXTRAS[scheme]
    if importlib.util.find_spec(package) is None:
        raise RootsError(f"FACESTREAM_URI_ROOTS names {scheme}://: install facestream[{extra}] for the workers")


def read(uri: str, limit: int) -> bytes:
    """The bytes of an object; where and as whom, its client library knows from its own environment.

    Raises:
        PayloadRefused: it is not there, not for us, or too large.
        PayloadUnavailable: the store does not answer.
    """
    try:
        store, path = fsspec.url_to_fs(uri)
        size = store.info(path, timeout=TIMEOUT_S)["size"]
        if size > limit:
            raise PayloadRefused.too_large(limit)
        data: bytes = store.cat_file(path, timeout=TIMEOUT_S) if size else b""
    except (FileNotFoundError, IsADirectoryError) as error:
        raise PayloadRefused(Reason.URI_UNREADABLE, f"there is no object {uri[:200]!r}") from error
    except PermissionError as error:
        raise PayloadRefused(Reason.URI_UNREADABLE, f"the workers may not read {uri[:200]!r}: {error}") from error
    except (OSError, FSTimeoutError) as error:
        raise PayloadUnavailable(f"{uri[:200]!r} cannot be read now: {error}") from error
    return data
