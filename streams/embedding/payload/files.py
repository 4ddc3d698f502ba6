"""Reads pictures from files below an allowed folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from schemas.reasons import Reason
from streams.embedding.payload.errors import PayloadRefused, PayloadUnavailable

_TRANSIENT = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_TRANSIENT |= {errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN}
"""The errors of a network file system whose server is away, and of too many open files."""


def read(path: str, root: str, limit: int) -> bytes:
    """The bytes of a regular file that lies below the root once all links are followed.

    Raises:
        PayloadRefused: it is elsewhere, not a regular file, too large, or cannot be read.
        PayloadUnavailable: the file system does not answer.
    """
    try:
        descriptor = _open_below(os.path.realpath(path), os.path.realpath(root))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PayloadRefused(Reason.URI_UNREADABLE, f"{path!r} is not a regular file")
            if status.st_size > limit:
                raise PayloadRefused.too_large(limit)
            data = file.read(limit + 1)
    except OSError as error:
        if error.errno in _TRANSIENT:
            raise PayloadUnavailable(f"{path!r} cannot be read now: {error.strerror}") from error
        raise PayloadRefused(Reason.URI_UNREADABLE, f"{path!r} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise PayloadRefused.too_large(limit)
    return data


def _open_below(real: str, root: str) -> int:
    """Open a resolved path folder by folder without following links, so that none can be put there meanwhile."""
    if os.path.commonpath([real, root]) != root or real == root:
        raise PayloadRefused(Reason.URI_NOT_ALLOWED, "the address leads, by a link, out of the folder that is allowed")
    *folders, name = Path(real).relative_to(root).parts
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = inner
        # Not blocking: a FIFO would wait for a writer.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)
