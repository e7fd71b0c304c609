"""What a file holds, told by its bytes and not by its name: text of which encoding, Parquet, or no table at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path

from contrec.checks import DataError

CHUNK = 2**24  # bytes read at once; no line of a table is longer
_MANY = 2**30  # bytes from which on the free memory is looked at
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
_CSV = "save it as CSV (UTF-8) or as Parquet"
_UNPACK = "unpack it and name the file in it"
_NO_TABLE = (  # first bytes, what they seem to be, cure
    (b"\xd0\xcf\x11\xe0", "an Excel file", "in the spreadsheet, save it as CSV (UTF-8)"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x89HDF", "an HDF5 file", _CSV),
    (b"\x93NUMPY", "a NumPy array", _CSV),
    (b"ORC", "an ORC file", _CSV),
    (b"Obj\x01", "an Avro file", _CSV),
    (b"FEA1", "a Feather file of version 1", _CSV),
    (b"RDX", "R data", _CSV),
    (b"%PDF", "a PDF", _CSV),
    (b"7z\xbc\xaf", "a 7z archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    *((bytes([0x80, n]), "a pickle", "pickles can run code and are not read; " + _CSV) for n in range(2, 6)),
)  # fmt: skip
_MARKS = (  # byte order marks, the longer ones first
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def check_file(path: str | Path) -> None:
    """Raise DataError unless ``path`` is a file."""
    path = Path(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}; give the path of a .csv or .parquet file")


def read_bytes(path: str | Path) -> tuple[str, bytes]:
    """What kind of table a file is, and its bytes.

    Compressed files (gzip, bzip2, xz, zstd) are unpacked, whatever their names.

    Returns:
        "parquet" | "feather" | "text", and the bytes: of text in UTF-8, without a byte order mark.

    Raises:
        DataError: if the file is missing, damaged, empty, too large for the free memory, or no table.
    """
    path = Path(path)
    check_file(path)
    try:
        data = _unpacked(path)
    except MemoryError as error:
        raise DataError(f"{path} needs more memory than is free; split it, or use a larger machine") from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{path} cannot be read ({error.strerror}); check the file's permissions") from error
        problem = "ends early" if isinstance(error, EOFError) or "runcated" in str(error) else "is damaged"
        raise DataError(f"{path} {problem}: it cannot be unpacked to its end; fetch it again") from error
    if not data:
        raise DataError(f"{path} is empty; write a line with the column names and one interaction a row")
    for first, kind in ((b"PAR1", "parquet"), (b"ARROW1", "feather")):
        if data.startswith(first):
            return kind, data
    _refuse(path, data)
    return "text", _utf8(path, data)


def _zstd(stream):
    import pyarrow as pa

    return pa.CompressedInputStream(stream, "zstd")


def _unpacked(path: Path) -> bytes:
    openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"\x28\xb5\x2f\xfd": _zstd}
    with open(path, "rb") as stream:
        while True:  # some are packed twice
            first = stream.read(6)
            stream.seek(0)
            opener = next((o for magic, o in openers.items() if first.startswith(magic)), None)
            if opener is None:
                return _whole(path, stream)
            stream = io.BytesIO(_whole(path, opener(stream)))


def _whole(path: Path, stream) -> bytes:
    """All bytes of a stream, unless a line or the whole is too long: a megabyte of gzip can hold gigabytes."""
    parts, size = [], 0
    while chunk := stream.read(CHUNK):
        parts.append(chunk)
        size += len(chunk)
        text = parts[0][:4] not in (b"PAR1", b"ARRO") and not parts[0].lstrip()[:1] == b"["
        if text and len(chunk) == CHUNK and b"\n" not in chunk and b"\r" not in chunk:
            raise DataError(f"{path} holds a line of more than {CHUNK >> 20} MiB, which no table has; {_CSV}")
        if size > _MANY:
            import psutil

            free = psutil.virtual_memory().available
            if size > free:
                raise DataError(
                    f"{path} holds more than {size / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free; "
                    "split it, or use a larger machine"
                )
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse(path: Path, data: bytes) -> None:
    """Raise for bytes that are known to be no table, or not what the name says."""
    what = next(((kind, cure) for first, kind, cure in _NO_TABLE if data.startswith(first)), None)
    if data.startswith(b"PK\x03\x04"):
        sheet = b"xl/" in data[:4000] or b"xl/workbook" in data or b"opendocument.spreadsheet" in data[:200]
        what = ("a spreadsheet", "save it there as CSV (UTF-8)") if sheet else ("a zip archive", _UNPACK)
    elif data[257:262] == b"ustar":
        what = ("a tar archive", _UNPACK)
    elif data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<!", b"<html", b"<HTML", b"<table")):
        what = ("a web page or XML", "fetch the file itself, or " + _CSV)
    if what:
        raise DataError(f"{path} seems to be {what[0]}, which is no table that can be read; {what[1]}")
    if path.suffix.lower() in (".parquet", ".feather"):
        raise DataError(
            f"{path} does not begin as a {path.suffix.lower()[1:]} file does: it is damaged or something else; "
            "fetch it again, or give it its true suffix"
        )


def _utf8(path: Path, data: bytes) -> bytes:
    """Text as UTF-8 without a byte order mark."""
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data:
        even, odd = (data[:1000][start::2].count(0) for start in (0, 1))
        half = len(data[:1000]) // 2
        encoding = "utf-16-le" if odd > 0.4 * half > even else "utf-16-be" if even > 0.4 * half > odd else None
        if encoding is None:
            line = len((data[: data.index(0)] + b"x").splitlines())
            raise DataError(f"{path}, line {line}: holds a NUL byte, so it is no text; {_CSV}")
    if encoding:
        try:
            return data.decode(encoding).removeprefix("\ufeff").encode()
        except UnicodeError as error:
            raise DataError(f"{path} is no whole {encoding.upper()} text; {_CSV}") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.isascii():
        _check_utf8(path, data)
    return data


def _check_utf8(path: Path, data: bytes) -> None:
    start = 0
    while start < len(data):  # by parts: decoding the whole would take four times its size
        stop = start + CHUNK
        while stop < len(data) and data[stop] & 0xC0 == 0x80 and stop < start + CHUNK + 4:
            stop += 1  # a character ends here
        try:
            data[start:stop].decode()
        except UnicodeDecodeError as error:
            line = len((data[: start + error.start] + b"x").splitlines())
            byte = f"byte 0x{data[start + error.start]:02x}; Latin-1 or Windows-1252?"
            raise DataError(f"{path}, line {line}: is not UTF-8 ({byte}); save the file as UTF-8") from error
        start = stop
