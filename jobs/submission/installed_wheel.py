"""Packs the sam-label that is installed here into a wheel, for a cluster to install; also a changed checkout.

The wheel's version ends in a digest of the contents (`0.1.0+5f3c...`): Ray caches installed packages by name,
and would not notice that a checkout has changed.
"""

import sysconfig
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from zipfile import ZipFile

from pipeline.errors import SamLabelError

PACKAGES = ("sam_label", "sam_core", "pipeline", "jobs")
# The metadata of the installation that the wheel gets. In a checkout METADATA is called PKG-INFO.
KEPT = ("METADATA", "PKG-INFO", "entry_points.txt", "top_level.txt", "licenses/LICENSE", "licenses/NOTICE")


def installed_wheel(folder: Path) -> Path:
    """Writes the wheel to the folder. Raises: SamLabelError if sam-label is only imported, not installed."""
    try:
        known = distribution("sam-label")
    except PackageNotFoundError:
        raise SamLabelError(
            "sam-label is not installed here, so there is nothing to ship; pip install it, or use "
            "--preinstalled or --image"
        ) from None
    files = dict(_package_files())
    digest = sha256(b"".join(name.encode() + sha256(data).digest() for name, data in files.items()))
    version = f"{known.version.partition('+')[0]}+{digest.hexdigest()[:12]}"
    tag = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
    info = f"sam_label-{version}.dist-info"
    for name in KEPT:
        if text := known.read_text(name):
            text = text.replace(f"\nVersion: {known.version}\n", f"\nVersion: {version}\n", 1)
            files[f"{info}/{name.replace('PKG-INFO', 'METADATA')}"] = text.encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: sam-label\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    )
    record = "".join(f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"sam_label-{version}-{tag}.whl"
    with ZipFile(wheel, "w") as archive:  # uncompressed: most of it is weights, which do not shrink
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Name in the wheel and contents of each file of our packages, in one order."""
    for package in PACKAGES:
        root = Path(str(import_module(package).__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield f"{package}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _hash(data: bytes) -> str:
    return urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
