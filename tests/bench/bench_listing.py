"""Memory and time of listing a bucket of a million keys into a manifest.

A server in a separate process answers ListObjectsV2 with made-up keys in FOLDERS folders, a thousand per page
as in S3, each answer DELAY_MS late. Client, parsing, the choice of images, sorting and Parquet are real.
Usage: python tests/bench/bench_listing.py [KEYS [FOLDERS [DELAY_MS]]]
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
ROOT = "photos/2026/"


class Bucket(BaseHTTPRequestHandler):
    """A bucket that can only be listed."""

    keys = 0
    folders = 1
    delay_s = 0.0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        arrived = time.monotonic()
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix = query.get("prefix", "")
        inside = prefix.removeprefix(ROOT).rstrip("/") if prefix.startswith(ROOT) else ""
        if "delimiter" in query and not inside:
            names = [f"{ROOT}{n:05d}/" for n in range(self.folders)] if prefix == ROOT else ["photos/2026/"]
            folders = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in names)
            content, end, last = folders, 0, 0
        else:
            first, last = self.keys_in(int(inside)) if inside else (0, self.keys)
            start = int(query.get("continuation-token", first))
            end = min(start + PAGE, last)
            content = "".join(map(self.key, range(start, end)))
        more = f"<IsTruncated>{'true' if end < last else 'false'}</IsTruncated>"
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < last else ""
        body = f"<ListBucketResult>{more}{token}{content}</ListBucketResult>".encode()
        time.sleep(max(0, arrived + self.delay_s - time.monotonic()))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def keys_in(self, folder: int) -> tuple[int, int]:
        """The first key of a folder and the one after its last, for the keys that `key` puts there."""
        first, last = (-(-at * self.keys // self.folders) for at in (folder, folder + 1))
        return first, last

    def key(self, n: int) -> str:
        return (
            f"<Contents><Key>{ROOT}{n * self.folders // self.keys:05d}/IMG_{n:09d}.jpg</Key>"
            f"<ETag>&quot;{n:032x}&quot;</ETag><Size>{n}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        )

    def log_message(self, format: str, *args: object) -> None:
        """No log: a line for each of a thousand requests would drown the figures."""


def serve(keys: int, folders: int, delay_ms: int) -> None:
    Bucket.keys, Bucket.folders, Bucket.delay_s = keys, folders, delay_ms / 1000
    # with one thread, a second connection would wait until the first one closes, which stays open
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    print(server.server_port, flush=True)
    server.serve_forever()


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(keys: int, folders: int, delay_ms: int) -> None:
    command = [sys.executable, __file__, "--serve", str(keys), str(folders), str(delay_ms)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert server.stdout is not None
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    from pipeline.inputs.source import Source
    from pipeline.output.format.manifest import read_manifest, sorted_rows, write_manifest
    from pipeline.store.storage import Store

    source = Source.at("s3://bucket/photos/")
    source.require_images()  # the client and its thread are no part of the listing
    before_mb, started, cpu_started = rss_mb(), time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as output:
        parts = write_manifest(Store.at(output), "r00001", sorted_rows(source.rows()))
        seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu_started
        more_mb = round(rss_mb() - before_mb)
        assert sum(table.num_rows for table in read_manifest(Store.at(output), parts)) == keys
    server.kill()
    print(
        f"{keys:,} keys in {folders:,} folders, {delay_ms} ms a request: {seconds:.1f} s, of them "
        f"{cpu_s:.1f} s of CPU, {len(parts)} parts, {more_mb} MB more at the most"
    )
    figures = {"keys": keys, "folders": folders, "delay_ms": delay_ms, "seconds": round(seconds, 1)}
    print(json.dumps({**figures, "cpu_s": round(cpu_s, 1), "more_mb": more_mb}))


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:] if argument != "--serve"]
    keys, folders, delay_ms = (given + [1_000_000, 100, 0][len(given) :])[:3]
    if "--serve" in sys.argv:
        serve(keys, folders, delay_ms)
    else:
        main(keys, folders, delay_ms)
