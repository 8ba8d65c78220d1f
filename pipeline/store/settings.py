"""How stores are reached: the options in `[storage]` of a job file. None of them is a secret.

Credentials come from the environment, a profile or a role. `Access` has the options of one place; it travels
with the place's `Store` to the workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.store.uri import has_secret
from sam_core.options import LARGEST


class PlaceSettings(BaseModel):
    """How an object store is reached; the environment or the provider decides what is not set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint_url: str | None = Field(
        default=None, description="URL of the store's server, if it is not the provider's own."
    )
    region: str | None = Field(default=None, description="Region of an S3 bucket.")
    profile: str | None = Field(default=None, description="Profile in ~/.aws with the S3 credentials to use.")
    ca_bundle: str | None = Field(
        default=None, description="PEM file with more certificates to trust; every node needs it."
    )
    requester_pays: bool | None = Field(
        default=None, description="Read s3:// and gs:// buckets that charge the reader."
    )
    addressing_style: Literal["path", "virtual"] | None = Field(
        default=None, description="Put the bucket's name into the path or the host of S3's URLs."
    )

    @field_validator("endpoint_url")
    @classmethod
    def _is_a_url(cls, text: str | None) -> str | None:
        if text is not None and not text.startswith(("http://", "https://")):
            raise ValueError(f"{text!r} is not a URL; write it with its scheme, such as https://host:9000")
        if text is not None and has_secret(text):
            raise ValueError("it holds credentials; give them in the environment")
        return text


class HttpsSettings(BaseModel):
    """How images on the web are fetched, and how gently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: int = Field(
        default=4, ge=1, le=256, description="Requests at a time to one host, from each machine."
    )
    delay_s: float = Field(
        default=0.0, ge=0, le=3600, description="Seconds between two requests to one host, from each machine."
    )
    timeout_s: float = Field(default=60.0, gt=0, le=3600, description="Seconds that a request may take.")
    max_bytes: int = Field(
        default=256 << 20,
        ge=1,
        le=LARGEST,
        description="Longer images are not read; they fail with TOO_LARGE.",
    )
    allow_http: bool = Field(
        default=False, description="Read http:// too, which anyone on the way can change."
    )
    allow_private_hosts: bool = Field(
        default=False, description="Read from private and loopback addresses too; never link-local ones."
    )


class StorageConfig(PlaceSettings):
    """The settings of INPUT and OUTPUT together, of each of them alone, and of the web."""

    input: PlaceSettings = Field(default=PlaceSettings(), description="Of INPUT alone.")
    output: PlaceSettings = Field(default=PlaceSettings(), description="Of OUTPUT alone.")
    https: HttpsSettings = Field(default=HttpsSettings(), description="Of images at https:// URLs.")

    def of(self, own: PlaceSettings) -> PlaceSettings:
        """The settings of a place: its own where they are set, else the common ones."""
        common = {name: getattr(self, name) for name in PlaceSettings.model_fields}
        return PlaceSettings(**(common | own.model_dump(exclude_none=True)))


@dataclass(frozen=True)
class Access:
    """How one place is reached; `anonymous`: requests to an object store carry no credentials."""

    anonymous: bool = False
    place: PlaceSettings = PlaceSettings()  # noqa: RUF009  # frozen
    https: HttpsSettings = HttpsSettings()  # noqa: RUF009  # frozen


DEFAULT_ACCESS = Access()


def recorded_access(options: Mapping[str, Any]) -> Access:
    """How a reader reaches the images of a run with these recorded options.

    A dataset may come from a stranger, so it must not decide where credentials are sent or which hosts of the
    reader's network are contacted: endpoints come from the environment.
    """
    https = (options.get("storage") or {}).get("https", {})
    return Access(
        bool(options.get("anonymous", False)),
        https=HttpsSettings(allow_http=bool(https.get("allow_http", False))),
    )


def access_options(*recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The access options of earlier runs that a record keeps, so that `recorded_access` reaches their images.

    Options at their defaults are left out.
    """
    each = [recorded_access(options) for options in recorded]
    is_anonymous = bool(each) and all(access.anonymous for access in each)
    may_be_http = any(access.https.allow_http for access in each)
    return {
        **({"anonymous": True} if is_anonymous else {}),
        **({"storage": {"https": {"allow_http": True}}} if may_be_http else {}),
    }
