"""What kind of list a file is: by its name, or by --input-format, and whether its first bytes agree."""

import json
import re
from typing import cast

from pipeline.config import InputFormat
from pipeline.errors import UsageError
from pipeline.inputs.files import NoImages
from pipeline.inputs.lists.lines import GZIP

# The column of images if none is named: the first of these, else the only one of the others that exists.
URI_COLUMNS = ("uri", "url", "path", "file_name", "image")
HEAD_BYTES = 4096
_SUFFIX = re.compile(r"\.(?:(?P<text>txt|csv|tsv|jsonl|ndjson)(?:\.gz)?|(?P<table>parquet))$", re.IGNORECASE)
_NAMES: dict[str, str] = {
    "txt": "text with one URI or path per line",
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "parquet": "Parquet",
}
_PARQUET = b"PAR1"
_NO_TEXT = {
    b"PK\x03\x04": "a ZIP archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    GZIP: "gzip",
}


def format_of_name(name: str) -> InputFormat | None:
    """The format of a list of this name; None if the name is not that of a list."""
    match = _SUFFIX.search(name)
    word = (match["text"] or match["table"]).lower() if match else None
    return cast("InputFormat | None", "jsonl" if word == "ndjson" else word)


def refuse_other_content(place: str, format_: InputFormat, head: bytes) -> None:
    """Raises UsageError if a file that begins with `head`, unpacked, is no list of that format.

    The error is NoImages if the file is empty.
    """
    if not head.strip():
        raise NoImages(f"{place} is empty; a list needs at least one line, and names one image per line")
    if found := _found_instead(format_, head):
        what, other = found
        hint = f"pass --input-format {other}" if other else "save it as UTF-8 text or as Parquet"
        raise UsageError(f"{place} is read as {_NAMES[format_]}, but it is {what}; {hint}")


def _found_instead(format_: InputFormat, head: bytes) -> tuple[str, str] | None:
    """What the bytes are instead of the format, and the format to name, "" if there is none."""
    if head.startswith(_PARQUET):
        return None if format_ == "parquet" else ("a Parquet file", "parquet")
    for magic, what in _NO_TEXT.items():
        if head.startswith(magic):
            return what, ""
    if format_ == "parquet" or b"\0" in head:
        return ("no Parquet file", "") if format_ == "parquet" else ("no text", "")
    first = head.decode("utf-8-sig", "replace").lstrip().partition("\n")[0].strip()
    likely = "jsonl" if _is_json_object(first) else _format_of_header(first)
    if format_ == "jsonl":
        return None if first.startswith("{") else ("not one JSON object per line", likely)
    if likely == "jsonl" or (format_ == "txt" and likely):
        return _NAMES[likely] + (" with a header" if likely != "jsonl" else ""), likely
    return None


def _is_json_object(line: str) -> bool:
    try:
        return line.startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _format_of_header(line: str) -> str:
    """The format of a table whose header the line is; "" if it is none."""
    for format_, separator in (("tsv", "\t"), ("csv", ",")):
        names = {name.strip().strip('"').lower() for name in line.split(separator)}
        if len(names) > 1 and names & set(URI_COLUMNS):
            return format_
    return ""
