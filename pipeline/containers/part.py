"""How an image that is a part of a file is named: `<uri of the file>#<part>`.

A member of an archive is `b/x.tar#photos/1.jpg`, a row of a table `b/y.parquet#row=17`, a frame of an image
`scan.tif#frame=3`. Any other `#` is a character of the name.
"""

import re

# Names that end so are containers; what follows their `#` is a part.
CONTAINER = re.compile(r"\.(tar|tar\.gz|tgz|parquet|lance)$", re.IGNORECASE)
LANCE = ".lance"  # a folder
_MEMBER = re.compile(r"^(?P<whole>.+?\.(?:tar|tar\.gz|tgz|parquet|lance))#(?P<part>.+)$", re.I | re.S)
FRAME = re.compile(r"^(?P<whole>.+)#(?P<part>frame=(?P<frame>\d{1,9}))$", re.DOTALL)


def part_uri(whole: str, part: str) -> str:
    """The uri of a part of a file."""
    return f"{whole}#{part}"


def split_part(uri: str) -> tuple[str, str]:
    """The uri of the file and the name of the part in it, "" if the uri names the whole file.

    A part may have parts of its own: `x.tar#scan.tif#frame=3` is `scan.tif#frame=3` of `x.tar`.
    """
    match = _MEMBER.match(uri) or FRAME.match(uri)
    return (match["whole"], match["part"]) if match else (uri, "")


def file_and_member(uri: str) -> tuple[str, str]:
    """The uri of the file to read, and which part of it: a member or a row, "" for the whole file.

    A frame is chosen when the file is decoded, so it is no member.
    """
    whole, part = split_part(uri)
    if not part or not CONTAINER.search(whole):
        return whole, ""
    frame = FRAME.match(part)
    return whole, frame["whole"] if frame else part


def as_path(uri: str) -> str:
    """The uri as a path, with a container as a folder of its parts: `b/x.tar/photos/1.jpg`."""
    whole, part = split_part(uri)
    return f"{whole}/{part}" if part and CONTAINER.search(whole) else uri
