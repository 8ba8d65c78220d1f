"""Uploads an S3 object in parts, so that only a few parts are in memory.

The object appears when the last request completes it. Each request is retried by itself, since the chunks can
be read only once. A failed upload is aborted, so that its parts take no room.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from pipeline.store.faults import IO_FAULTS, tried

# S3 accepts 10,000 parts of 5 MB or more, all but the last of one size: so 320 GB.
PART_BYTES = 32 << 20


def upload(s3: Any, bucket: str, key: str, chunks: Iterable[bytes]) -> None:
    """Writes the chunks to the object, one after the other; with one put if they fit into one part."""
    parts = _of_one_size(chunks)
    first, second = next(parts, b""), next(parts, None)
    target = {"Bucket": bucket, "Key": key}

    def call(method: str, **arguments: Any) -> Any:
        return tried(partial(s3.call_s3, method, **target, **arguments), f"write s3://{bucket}/{key}")

    if second is None:
        call("put_object", Body=first)
        return
    upload_id = {"UploadId": call("create_multipart_upload")["UploadId"]}
    try:
        tags = []
        for number, part in enumerate(chain([first, second], parts), start=1):
            answer = call("upload_part", **upload_id, PartNumber=number, Body=part)
            tags.append({"PartNumber": number, "ETag": answer["ETag"]})
        call("complete_multipart_upload", **upload_id, MultipartUpload={"Parts": tags})
    except BaseException:
        with suppress(*IO_FAULTS):
            s3.call_s3("abort_multipart_upload", **target, **upload_id)
        raise


def _of_one_size(chunks: Iterable[bytes]) -> Iterator[bytes]:
    gathered = bytearray()
    for chunk in chunks:
        gathered += chunk
        while len(gathered) >= PART_BYTES:
            yield bytes(gathered[:PART_BYTES])
            del gathered[:PART_BYTES]
    if gathered:
        yield bytes(gathered)
