"""What rows must have in common to be comparable: schema, weights, mask options, and how pixels are read.

All rows of a dataset have one identity.

Its fingerprint covers only options that differ from their defaults, so that a later version may add an option
and still go on with old datasets.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pyarrow as pa

from pipeline.output.format.schema import SCHEMA_VERSION, schema_of
from pipeline.pixel_reading import PixelReading
from sam_core.options import MaskOptions

DEFAULT_SCALE = "full"  # also of datasets that do not name theirs
# Recorded only if it is not the default, so that a dataset without it has the same bytes as before.
_NAMED_IF_CHANGED = {"mask_embeddings"}
_SPEED_ONLY = {"points_per_batch"}  # may differ between two runs over one dataset


@dataclass(frozen=True)
class Identity:
    """The part of a run's settings that decides its masks."""

    model_type: str
    model_sha256: str
    mask_options: MaskOptions
    schema_version: int = SCHEMA_VERSION
    scale: str = DEFAULT_SCALE  # RunConfig.scale: which samples of more than 8 bits become black and white
    bands: tuple[int, ...] = ()  # RunConfig.bands, the bands that are used; () if none are named
    nodata: float | None = None  # RunConfig.nodata

    @classmethod
    def of(
        cls, model_type: str, model_sha256: str, mask_options: MaskOptions, reading: PixelReading
    ) -> "Identity":
        """The identity of these weights, options and ways to read pixels."""
        return cls(
            model_type,
            model_sha256,
            mask_options,
            scale=reading.scale,
            bands=reading.bands,
            nodata=reading.nodata,
        )

    @property
    def reading(self) -> PixelReading:
        """How the samples of its images become 8-bit RGB."""
        return PixelReading(self.scale, self.bands, self.nodata)

    @property
    def schema(self) -> pa.Schema:
        """The columns of the dataset's shards."""
        return schema_of(self.mask_options)

    @property
    def fingerprint(self) -> str:
        """16 hex characters, equal for equal identities."""
        parts: list[Any] = [self.schema_version, self.model_sha256, self._changed_options()]
        parts += [{"scale": self.scale}] if self.scale != DEFAULT_SCALE else []
        parts += [self._samples()] if self._samples() else []
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def described(self) -> dict[str, Any]:
        """JSON values, as they stand in dataset.json, run records and shards."""
        return {
            "schema_version": self.schema_version,
            "model": {"type": self.model_type, "sha256": self.model_sha256},
            "mask_options": {
                name: value
                for name, value in self._options().items()
                if name not in _NAMED_IF_CHANGED or name in self._changed_options()
            },
            "scale": self.scale,
            **self._samples(),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_described(cls, described: Mapping[str, Any]) -> "Identity":
        """The identity that `described` wrote down. Raises: KeyError, ValueError."""
        return cls(
            described["model"]["type"],
            described["model"]["sha256"],
            MaskOptions.of_record(described["mask_options"]),
            described["schema_version"],
            described.get("scale", DEFAULT_SCALE),
            tuple(described.get("bands", ())),
            described.get("nodata"),
        )

    def differences(self, other: "Identity") -> list[str]:
        """What differs, each like "points_per_side 32, not 16"; empty if the fingerprints are equal."""
        mine, theirs = self._flat(), other._flat()
        return [f"{key} {theirs[key]}, not {value}" for key, value in mine.items() if theirs[key] != value]

    def _flat(self) -> dict[str, Any]:
        return {
            "schema_version": self.schema_version,
            "model sha256": f"{self.model_sha256[:12]} ({self.model_type})",
            **self._options(),
            "scale": self.scale,
            "bands": ",".join(map(str, self.bands)) or None,
            "nodata": self.nodata,
        }

    def _samples(self) -> dict[str, Any]:
        """The options `bands` and `nodata` if they are set; datasets of earlier releases have none."""
        bands = {"bands": list(self.bands)} if self.bands else {}
        return bands | ({"nodata": self.nodata} if self.nodata is not None else {})

    def _options(self) -> dict[str, Any]:
        return self.mask_options.model_dump(mode="json", exclude=_SPEED_ONLY)

    def _changed_options(self) -> dict[str, Any]:
        return self.mask_options.model_dump(mode="json", exclude=_SPEED_ONLY, exclude_defaults=True)
