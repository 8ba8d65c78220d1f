"""Memory and time of listing a bucket of a million keys into a manifest.

A server in a process of its own answers ListObjectsV2 with made-up keys, a thousand a page as S3 does.
Client, parsing, the choice of images, sorting and Parquet are real.
Usage: python tests/bench/bench_listing.py [KEYS]
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


class Bucket(BaseHTTPRequestHandler):
    """A bucket that can only be listed."""

    keys = 0
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        start = int(query.get("continuation-token", ["0"])[0])
        end = min(start + PAGE, self.keys)
        objects = "".join(
            f"<Contents><Key>photos/2026/{n % 100:02d}/IMG_{n:09d}.jpg</Key><ETag>&quot;{n:032x}&quot;</ETag>"
            f"<Size>{n}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for n in range(start, end)
        )
        more = f"<IsTruncated>{'true' if end < self.keys else 'false'}</IsTruncated>"
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < self.keys else ""
        body = f"<ListBucketResult>{more}{token}{objects}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """No log: a line for each of a thousand requests would drown the figures."""


def serve(keys: int) -> None:
    Bucket.keys = keys
    # with one thread a second connection would wait for the end of the first, which stays open
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    print(server.server_port, flush=True)
    server.serve_forever()


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(keys: int) -> None:
    server = subprocess.Popen([sys.executable, __file__, "--serve", str(keys)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    from pipeline.inputs.source import Source
    from pipeline.output.format.manifest import sorted_rows, write_manifest
    from pipeline.store.storage import Store

    source = Source.at("s3://bucket/photos/")
    source.require_images()  # the client and its thread are no part of the listing
    before_mb, started = rss_mb(), time.monotonic()
    with tempfile.TemporaryDirectory() as output:
        parts = write_manifest(Store.at(output), "r00001", sorted_rows(source.rows()))
    server.kill()
    seconds, more_mb = round(time.monotonic() - started), round(rss_mb() - before_mb)
    print(f"{keys:,} keys in {seconds} s, {len(parts)} parts, {more_mb} MB more at the most")
    print(json.dumps({"keys": keys, "seconds": seconds, "more_mb": more_mb}))


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve(int(sys.argv[-1]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
