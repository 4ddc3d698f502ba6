"""The picture formats: their suffixes and first bytes; and what other bytes seem to be.

Needs no picture library, so that clients can use it.
"""

from __future__ import annotations

import base64
import binascii
import re

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WebP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".heics", ".heifs", ".hif"),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PNM": (".pgm", ".ppm", ".pbm", ".pnm"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
}
NAMES = tuple(_SUFFIXES)
"""The formats that workers can read."""
SUFFIXES = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
"""The suffixes of their file names, in lower case."""
HEAD_BYTES = 4_096
"""Number of bytes at the beginning of a file that identify its format."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_PNM = re.compile(rb"P[1-6][\s#]")

_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"P7\n", "PAM"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
)
_DAMAGED = (
    (b"\xef\xbf\xbd", "bytes that were read as text and written again, which loses them: send the file's own bytes"),
    (b"\xc3\xbf\xc3\x98\xc3\xbf", "a JPEG whose bytes were encoded as text again: send the file's own bytes"),
    (b"\xc2\x89PNG", "a PNG whose bytes were encoded as text again: send the file's own bytes"),
    (b"\x89PNG\n\x1a\n", "a PNG whose line ends were converted on the way: copy the file as binary"),
)
_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_MARKUP = re.compile(rb"<(?:!doctype|html|head|body|svg|\?xml)", re.IGNORECASE)
_DATA_ADDRESS = re.compile(rb"data:[\w.+/-]*[\w.+/;=\"-]*,", re.IGNORECASE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}")
_HEXADECIMAL = re.compile(rb"(?:[0-9a-fA-F]{2}){12,}")
_QUOTES = (b'b"', b"b'", b'"', b"'")


def format_of(data: bytes) -> str | None:
    """The format, one of :data:`NAMES`, by the first bytes; None if it is none of them. The rest may be damaged."""
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        brands = _brands(data)
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    return "PNM" if _PNM.match(data) else None


def wrapped(data: bytes) -> str | None:
    """What was done to a picture so that nothing can read it, and the remedy, in words; None if nothing is detected.

    It detects pictures as Base64 or hexadecimal text or in a ``data:`` address, pictures after a byte-order mark or
    white space, and pictures that were read and written as text on their way.
    """
    head = data[:HEAD_BYTES]
    if format_of(head) is not None:
        return None
    for mark, encoding in _MARKS.items():
        if head.startswith(mark) and (inner := _inside(head[len(mark) :])):
            return f"a byte-order mark of {encoding} stands before {inner}: send the bytes without it"
    stripped = head.lstrip(b"\r\n\t ")
    if len(stripped) < len(head) and (inner := _inside(stripped)):
        return f"line ends or blanks stand before {inner}: send the bytes without them"
    damaged = (said for beginning, said in _DAMAGED if head.startswith(beginning))
    return next(damaged, None) or _as_text(head)


def otherwise(data: bytes) -> str:
    """A sentence about bytes that are not a picture: what they seem to be, and which formats can be read."""
    head = data[:HEAD_BYTES]
    if found := wrapped(head):
        return found
    read = f"none of {', '.join(NAMES)} that can be read"
    for beginning, name in _OTHERS:
        if head.startswith(beginning):
            return f"the {len(data)} bytes are {name}, {read}"
    if head[4:8] == b"ftyp":
        return f"the {len(data)} bytes are a video or of an unknown kind ({_major(head)}), {read}"
    if head.startswith(b"--") and b"content-disposition:" in head[:1_000].lower():
        return f"the {len(data)} bytes are a multipart form with its headers, {read}"
    if _MARKUP.match(head.lstrip()):
        return f"the {len(data)} bytes are HTML, SVG or XML, {read}"
    return f"the {len(data)} bytes are {read}"


def _inside(data: bytes) -> str | None:
    """The picture that the data begins with, in words; None if there is none."""
    name = format_of(data)
    return f"the {name}" if name else "a picture as text" if _as_text(data) else None


def _as_text(head: bytes) -> str | None:
    if _DATA_ADDRESS.match(head):
        return "a data: address, not the picture in it: send the bytes that it encodes"
    quote = next((one for one in _QUOTES if head.startswith(one)), b"")
    text = head[len(quote) :]
    if (found := _HEXADECIMAL.match(text)) and (name := format_of(binascii.unhexlify(found[0]))):
        return f"a {name} as hexadecimal text: send its bytes"
    joined = b"".join(text.split())
    if found := _BASE64.match(joined):
        whole = found[0][: len(found[0]) // 4 * 4].translate(bytes.maketrans(b"-_", b"+/"))
        if name := format_of(base64.b64decode(whole)):
            return f"a {name} as Base64 text: send the bytes that it encodes"
    return None


def _brands(data: bytes) -> set[bytes]:
    """The brands of an ISO base media file: the major and the compatible ones."""
    length = min(int.from_bytes(data[:4], "big"), 512, len(data))
    return {data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))}


def _major(data: bytes) -> str:
    return repr(data[8:12].decode("ascii", "backslashreplace"))
