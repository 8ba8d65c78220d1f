"""The published checkpoints: names, sizes, sha256 and where they come from."""

from dataclasses import dataclass

SEGMENT_ANYTHING = "https://dl.fbaipublicfiles.com/segment_anything/"
MOBILE_SAM = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"


@dataclass(frozen=True)
class KnownCheckpoint:
    """A published file. `url` is empty for the weights that ship with the package."""

    model_type: str
    file_name: str
    sha256: str
    size_bytes: int
    url: str
    licence: str = "Apache-2.0"


KNOWN_CHECKPOINTS = (
    KnownCheckpoint(
        model_type="vit_h",
        file_name="sam_vit_h_4b8939.pth",
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        size_bytes=2_564_550_879,
        url=SEGMENT_ANYTHING + "sam_vit_h_4b8939.pth",
    ),
    KnownCheckpoint(
        model_type="vit_l",
        file_name="sam_vit_l_0b3195.pth",
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        size_bytes=1_249_524_607,
        url=SEGMENT_ANYTHING + "sam_vit_l_0b3195.pth",
    ),
    KnownCheckpoint(
        model_type="vit_b",
        file_name="sam_vit_b_01ec64.pth",
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        size_bytes=375_042_383,
        url=SEGMENT_ANYTHING + "sam_vit_b_01ec64.pth",
    ),
    KnownCheckpoint(
        model_type="vit_t",
        file_name="mobile_sam.pt",
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        size_bytes=40_728_226,
        url=MOBILE_SAM + "mobile_sam.pt",
    ),
    KnownCheckpoint(
        model_type="vit_t",
        file_name="mobile_sam.safetensors",
        sha256="505afea72f8c3834ef9b70a7b62b6462d0a58c9d07b432231283b55671030038",
        size_bytes=20_077_760,
        url="",
        licence="Apache-2.0 and MIT",  # the conversion's source is under MIT
    ),
)


def known_by_sha256(sha256: str) -> KnownCheckpoint | None:
    """The published checkpoint with this content, if there is one."""
    return next((known for known in KNOWN_CHECKPOINTS if known.sha256 == sha256), None)


def known_by_file_name(file_name: str) -> KnownCheckpoint | None:
    """The published checkpoint with this file name, if there is one.

    The size does not help: every fine-tuned model of the same architecture has the same size.
    """
    return next((known for known in KNOWN_CHECKPOINTS if known.file_name == file_name), None)
