"""Checks what a run would use, in the same way as the run: input, output, credentials and cluster."""

import os
import shutil
from contextlib import suppress
from itertools import islice
from pathlib import Path

from pipeline.cluster.start import wait_for_cluster
from pipeline.config import RunConfig
from pipeline.doctor.finding import Finding, fault, ok, warning
from pipeline.errors import ImageError, StoreError
from pipeline.images.fetch import ANY_PIXELS, FetchSettings, fetched
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.usable import refuse_without_put_if_absent
from pipeline.shutdown import answer
from pipeline.store.settings import PlaceSettings
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

OTHER_CLOUDS = {
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"),
    "az": (
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
    ),
}
STORE_S = 60.0  # a store that hangs is given up after that
CLUSTER_S = 5.0
LEAST_OUTPUT_BYTES = 1 << 30


def credentials(what: str, place: PlaceSettings) -> Finding:
    """Where the credentials for s3:// come from; their values are not looked at."""
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    endpoint = (
        place.endpoint_url
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or "AWS"
    )
    try:
        known = answer(
            lambda: Session(profile=place.profile).get_credentials(),
            STORE_S,
            "the service that gives S3 credentials",
        )
    except ProfileNotFound as missing:
        return fault(what, str(missing), "name a profile of ~/.aws in AWS_PROFILE or storage.profile")
    if known is None:
        return warning(
            what,
            f"none for {redacted(endpoint)}",
            "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or pass --anonymous if the "
            "input is public",
        )
    return ok(what, f"for {redacted(endpoint)}, from {known.method}")


def cloud_credentials(scheme: str, variables: tuple[str, ...]) -> Finding:
    """Which environment variables give access to gs:// or az://; their values are not looked at."""
    what = f"{scheme}:// credentials"
    if known := [name for name in variables if os.environ.get(name)]:
        return ok(what, f"from {' and '.join(known)}")
    return ok(
        what, "of this machine or of the provider's command line, if there are any; none in the environment"
    )


def readable_input(config: RunConfig) -> Finding:
    """Whether the input has images and the first one can be read. Raises: UsageError, StoreError."""

    def first() -> str:
        source = Source.at(config.input, SourceOptions.of(config))
        (row,) = islice(source.rows(), 1)
        try:
            # an image that is too large for a run can be read all the same
            fetched(row._asdict(), FetchSettings(source.root, config.access, ANY_PIXELS))
        except ImageError as fault:
            raise StoreError(fault.reason, str(fault)) from fault
        return row.uri

    return ok("input", f"{redacted(answer(first, STORE_S, redacted(config.input)))} can be read")


def writable_output(config: RunConfig) -> Finding:
    """Whether a dataset can be written there: a file is created, read and removed again.

    Raises: UsageError, StoreError.
    """

    def probed() -> Finding:
        store = Store.at(config.output, config.output_access)
        if not store.is_writable:
            return fault(
                "output",
                f"{redacted(config.output)} can be read only",
                "name a folder or an s3://, gs:// or az:// URL",
            )
        folders = _folders_to_make(store)
        try:
            refuse_without_put_if_absent(store)
        finally:
            for folder in folders:
                with suppress(OSError):  # it was not made, or something else uses it by now
                    folder.rmdir()
        return _with_room(store)

    return answer(probed, STORE_S, redacted(config.output))


def _folders_to_make(store: Store) -> list[Path]:
    """The folders that the probe makes on a disk, the innermost first."""
    if not store.is_local:
        return []
    lock = Path(store.location.path, "_lock")
    return [folder for folder in (lock, *lock.parents) if not folder.exists()]


def _with_room(store: Store) -> Finding:
    says = f"a dataset can be written to {redacted(store.url)}"
    if not store.is_local:
        return ok("output", says)
    place = Path(store.location.path)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    says = f"{says}; {free / 1e9:.1f} GB free"
    if free < LEAST_OUTPUT_BYTES:
        return warning("output", says, "free some space: a million images need about 10 to 30 GB")
    return ok("output", says)


def reachable_cluster(address: str) -> Finding:
    """Whether a Ray cluster listens at HOST:PORT. Raises: UsageError, SamLabelError."""
    wait_for_cluster(address, CLUSTER_S)
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return warning(
            "cluster",
            f"{address} answers; no token is set here",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as on the cluster; without it, anyone who can reach "
            "the cluster can run code on it",
        )
    return ok("cluster", f"{address} answers")
