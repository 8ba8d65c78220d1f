"""The options of a run, each stated once.

The command line, the job file and the documentation are generated from these fields: name, type, range,
default and help text live here and nowhere else. The masks' own options are a nested `MaskOptions`, stated in
`sam_core`.
"""

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.pixel_reading import PixelReading, band_numbers, one_text_a_scale
from pipeline.store.hosts import is_link_local_address, site_of
from pipeline.store.settings import Access, StorageConfig
from pipeline.store.uri import as_text, redacted
from sam_core.options import LARGEST, MaskOptions

Device = Literal["auto", "cpu", "cuda"]
ModelType = Literal["vit_h", "vit_l", "vit_b", "vit_t"]
InputFormat = Literal["txt", "csv", "tsv", "jsonl", "parquet"]

FRAMES = re.compile(r"first|all|every[ :](?P<step>[1-9]\d{0,8})")
SHARD = re.compile(r"(?P<number>\d+)/(?P<of>\d+)")
# With 15 digits a number is below LARGEST.
FAILURE_LIMIT = re.compile(r"(?P<images>\d{1,15})|(?P<percent>\d+(\.\d+)?)%")


class RunConfig(BaseModel):
    """One labelling run, checked; what is left out takes the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = Field(
        min_length=1,
        description="Images to label: a folder, file, pattern, tar, table or list; a prefix of file://, "
        "s3://, gs:// or az://; an https:// URL. - reads a list from standard input.",
    )
    output: str = Field(min_length=1, description="Dataset to write or to continue: a folder or a URL.")

    model: ModelType | None = Field(
        default=None,
        description="SAM's architecture. Without it: the checkpoint's own, or the bundled vit_t.",
    )
    checkpoint: str | None = Field(
        default=None,
        description="Weights: path or URL of a .safetensors or .pth file, or a Hugging Face folder.",
    )
    device: Device = Field(
        default="auto", description="Where the model runs; auto uses GPUs if there are any."
    )
    mask: MaskOptions = Field(
        default=MaskOptions.model_validate({}), description="Options of the mask generator."
    )

    follow_links: bool = Field(
        default=False,
        description="Follow links on a disk that lead out of INPUT. Without it they are skipped.",
    )
    anonymous: bool = Field(
        default=False, description="Read INPUT without credentials, as public buckets allow."
    )
    frames: str = Field(
        default="first",
        description="Pages of a TIFF and frames of an animation to label: first, all or 'every N'.",
    )
    input_format: InputFormat | None = Field(
        default=None,
        description="Format of INPUT if it is a list of images. Without it the name decides; standard input "
        "is txt.",
    )
    uri_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of a list that holds the images' paths or URLs. Without it: uri, or the only "
        "one of url, path, file_name and image.",
    )
    id_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of a list with your own ids; the image ids are made from them.",
    )
    keep_columns: str | None = Field(
        default=None, description="Columns of a list to copy to the output: 'split,caption'."
    )
    image_column: str | None = Field(
        default=None,
        min_length=1,
        description="Column of a table that holds the images' bytes. Without it: the only such column.",
    )
    include: tuple[str, ...] = Field(
        default=(),
        description="Label only images whose name, relative to INPUT, matches: '*.png', '2026/**'; "
        "repeatable.",
    )
    exclude: tuple[str, ...] = Field(
        default=(), description="Skip images whose name, relative to INPUT, matches: 'thumbs/'; repeatable."
    )
    sample: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST,
        description="Label a random sample of this many images, the same on every machine for one --seed.",
    )
    seed: int = Field(
        default=0, ge=0, le=LARGEST, description="Seed of --sample, and of the images that bench picks."
    )
    shard: str | None = Field(
        default=None,
        description="Label one part of the images, such as 1/3, 2/3 or 3/3; merge joins the outputs.",
    )
    deduplicate: bool = Field(
        default=False,
        description="Label identical files once. Reads each file whose MD5 is not in the listing.",
    )
    limit: int | None = Field(
        default=None, ge=1, le=LARGEST, description="Label at most this many images in this run."
    )
    refresh: bool = Field(
        default=False, description="List INPUT again: label new images, relabel changed ones."
    )
    allow_empty: bool = Field(
        default=False,
        description="Succeed without doing anything if INPUT is missing or holds no image.",
    )
    overwrite: bool = Field(default=False, description="Delete the dataset at OUTPUT first.")
    max_failures: str | None = Field(
        default=None,
        description="Stop when more images than this fail: a number, or a share of the run such as 5%.",
    )

    workers: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST,
        description="Number of labelers (on a cluster: at most). Without it: one per GPU, or what fits the "
        "CPUs.",
    )
    images_per_block: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="Images that a labeler gets at a time, and that are labelled again if it dies. Without "
        "it: 8, up to 64 in a large run on GPUs, fewer if images are large.",
    )
    max_image_pixels: int = Field(
        default=178_956_970,  # Pillow itself refuses more; 512 MiB as RGB
        ge=1,
        le=LARGEST,
        description="Larger images are not decoded; they fail with TOO_LARGE.",
    )
    scale: str = Field(
        default="full",
        description="Range of samples of more than 8 bits that becomes black to white: full (the type's), "
        "auto (the image's own), percentile (2nd to 98th; or percentile:1:99) or LO:HI, such as 0:4095.",
    )
    bands: str | None = Field(
        default=None,
        description="TIFF bands to show as red, green and blue, such as 4,3,2; a single one, such as 1, is "
        "grey.",
    )
    nodata: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Sample value that means no data, in addition to the file's own: shown black, not "
        "counted in ranges.",
    )
    decode_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=600,
        description="Seconds that decoding an image may take; then it fails with DECODE_TIMEOUT.",
    )

    address: str | None = Field(
        default=None,
        description="Ray cluster to run on. Without it: RAY_ADDRESS, or a local Ray for this run.",
    )
    cluster_wait_s: float = Field(
        default=60.0,
        ge=0,
        le=604_800,  # a week
        description="Seconds to wait for a cluster to answer, and again for room for one labeler.",
    )
    allow_unauthenticated_cluster: bool = Field(
        default=False, description="Use a remote Ray cluster that has no token authentication."
    )

    webhook: str | None = Field(
        default=None,
        description="URL that gets one POST when the run ends, with the outcome and counts.",
    )
    storage: StorageConfig = Field(default=StorageConfig(), description="How stores are reached.")

    @field_validator("input", "output", mode="before")
    @classmethod
    def _is_text(cls, place: object) -> object:
        return as_text(place) if isinstance(place, str) else place

    @field_validator("webhook")
    @classmethod
    def _is_a_web_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("it is not an https:// or http:// URL with a host and without a password")
        if is_link_local_address(parts.hostname):
            raise ValueError("it leads to a link-local host")
        return url

    @field_validator("scale")
    @classmethod
    def _is_a_pixel_scale(cls, text: str) -> str:
        return one_text_a_scale(text)

    @field_validator("bands")
    @classmethod
    def _are_bands(cls, text: str | None) -> str | None:
        return text if text is None else ",".join(map(str, band_numbers(text.replace(" ", ""))))

    @field_validator("frames")
    @classmethod
    def _are_frames(cls, text: str) -> str:
        if FRAMES.fullmatch(text) is None:
            raise ValueError(f"{text!r} is neither first, all nor a step such as 'every 10'")
        return text.replace(":", " ")

    @field_validator("keep_columns")
    @classmethod
    def _is_names_of_columns(cls, text: str | None) -> str | None:
        if text is not None and not all(name.strip() for name in text.split(",")):
            raise ValueError(f"{text!r} has a column without a name; separate the names by commas")
        return text

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _is_a_list(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("shard")
    @classmethod
    def _is_one_of_the_shards(cls, text: str | None) -> str | None:
        match = SHARD.fullmatch(text) if text is not None else None
        if text is not None and (match is None or not 1 <= int(match["number"]) <= int(match["of"])):
            raise ValueError(f"{text!r} is not a shard; write N/M, such as 1/3, 2/3 or 3/3")
        return text if match is None else f"{int(match['number'])}/{int(match['of'])}"

    @field_validator("max_failures")
    @classmethod
    def _is_a_number_or_a_share(cls, text: str | None) -> str | None:
        match = FAILURE_LIMIT.fullmatch(text) if text is not None else None
        if text is not None and (match is None or float(match["percent"] or 0) > 100):
            raise ValueError(f"{text!r} is neither a number of images (20) nor a share of them (5%)")
        return text

    @property
    def reading(self) -> PixelReading:
        """How samples become 8-bit RGB."""
        return PixelReading(self.scale, band_numbers(self.bands) if self.bands else (), self.nodata)

    @property
    def access(self) -> Access:
        """How INPUT and the images that it names are reached."""
        return Access(self.anonymous, self.storage.of(self.storage.input), self.storage.https)

    @property
    def output_access(self) -> Access:
        """How OUTPUT is reached."""
        return Access(False, self.storage.of(self.storage.output), self.storage.https)

    def recorded(self) -> dict[str, Any]:
        """The options as JSON values without the secrets of signed URLs, to be stored in the output."""
        options = self.model_dump(mode="json")
        if self.webhook is not None:
            options["webhook"] = site_of(self.webhook)
        return {name: redacted(value) if isinstance(value, str) else value for name, value in options.items()}

    def most_failures(self, images: int) -> int | None:
        """How many of `images` may fail before the run stops; None if there is no limit."""
        if self.max_failures is None:
            return None
        if self.max_failures.endswith("%"):
            return int(images * float(self.max_failures[:-1]) / 100)
        return int(self.max_failures)


class FilterConfig(BaseModel):
    """Which masks of a dataset to keep; a mask option that is not set keeps the dataset's value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = Field(min_length=1, description="Dataset labelled with loose thresholds: a folder or a URL.")
    output: str = Field(min_length=1, description="Dataset to write: a folder or a URL.")
    overwrite: bool = Field(default=False, description="Delete the dataset at the output first.")
    mask: MaskOptions = Field(default=MaskOptions.model_validate({}), description="The tighter options.")
