"""What a file's name says about its content, before a byte of it is read."""

import re

_IMAGE = re.compile(
    r"""\.(jpg|jpeg|jpe|jfif|png|apng|webp|tif|tiff|bmp|dib|gif|pbm|pgm|ppm|pnm
    |heic|heics|heif|heifs|hif|avif|avifs|jp2|jxl|psd|eps)$""",
    re.IGNORECASE | re.VERBOSE,
)
_LIST = re.compile(
    r"\.(txt|csv|tsv|json|jsonl|ndjson|xml|yaml|yml|parquet|arrow|feather|db|sqlite)$", re.IGNORECASE
)
_ARROW = re.compile(r"\.(arrow|feather)$", re.IGNORECASE)
_ARCHIVE = re.compile(r"\.(zip|tar|gz|tgz|bz2|xz|zst|7z|rar)$", re.IGNORECASE)
_OTHER = re.compile(
    r"""\.(md|rst|log|html|htm|css|js|py|ipynb|sh|pdf|doc|docx|xls|xlsx|toml|ini|cfg|aae|xmp
    |npy|npz|mat|pt|pth|safetensors|onnx|h5|hdf5|pkl|mp4|mov|avi|mkv|webm|mp3|wav)$""",
    re.IGNORECASE | re.VERBOSE,
)


def says_image(name: str) -> bool:
    return _IMAGE.search(name) is not None


def says_other(name: str) -> bool:
    """Whether the name is that of another kind of file: a list, an archive, a note, a film."""
    return any(kind.search(name) for kind in (_LIST, _ARCHIVE, _OTHER))


def instead_of(name: str) -> str:
    """Advice for an input file of this name that is no image: what to name instead."""
    if _ARCHIVE.search(name):
        return "only .tar, .tar.gz and .tgz archives are read: unpack it and name the folder"
    if _ARROW.search(name):
        return "Arrow files are not read: save the data set as Parquet (Dataset.to_parquet) and name it"
    if _LIST.search(name):
        return "a list ends in .txt, .csv, .tsv, .jsonl or .parquet, or needs --input-format"
    return "name an image, or a folder that holds images"
