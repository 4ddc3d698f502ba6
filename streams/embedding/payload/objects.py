"""Reads pictures from object stores, through fsspec."""

from __future__ import annotations

import importlib.util

import fsspec  # type: ignore[import-untyped]

from schemas.reasons import Reason
from streams.embedding.payload.errors import PayloadRefused, PayloadUnavailable
from streams.embedding.payload.roots import RootsError

TIMEOUT_S = 15.0
EXTRAS = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3")}
"""The package that reads each scheme, and the extra of facestream that installs it."""


def check_installed(scheme: str) -> None:
    """Check that the package for a scheme is installed.

    Raises:
        RootsError: it is not.
    """
    package, extra = EXTRAS[scheme]
    if importlib.util.find_spec(package) is None:
        raise RootsError(f"FACESTREAM_URI_ROOTS names {scheme}://: install facestream[{extra}] for the workers")


def read(uri: str, limit: int) -> bytes:
    """The bytes of an object; its client library takes endpoint and credentials from the environment.

    Raises:
        PayloadRefused: it is not there, not for us, or too large.
        PayloadUnavailable: the store does not answer.
    """
    try:
        # Without the cache of listings: an object that came after one would seem to be missing.
        store, path = fsspec.url_to_fs(uri, use_listings_cache=False)
        info = store.info(path, timeout=TIMEOUT_S)
        if info["type"] != "file":
            raise PayloadRefused(Reason.URI_UNREADABLE, f"{uri[:200]!r} is not an object")
        if info["size"] > limit:
            raise PayloadRefused.too_large(limit)
        data: bytes = store.cat_file(path, timeout=TIMEOUT_S) if info["size"] else b""
    except PayloadRefused:
        raise
    except FileNotFoundError as error:
        raise PayloadRefused(Reason.URI_UNREADABLE, f"there is no object {uri[:200]!r}") from error
    except PermissionError as error:
        raise PayloadRefused(Reason.URI_UNREADABLE, f"the workers may not read {uri[:200]!r}: {error}") from error
    except Exception as error:
        # Every store's client has exceptions of its own for a server that is away.
        raise PayloadUnavailable(f"{uri[:200]!r} cannot be read now: {type(error).__name__} {error}") from error
    return data
