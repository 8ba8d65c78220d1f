"""A report of datasets in a store, written to the store."""

import json
import re

from demo_dataset import PHOTOS, write_demo

from pipeline.report.report import Preview, written_report
from pipeline.store.storage import Store


def test_a_report_of_datasets_in_a_store_is_written_there(moto: str, use_store) -> None:
    bucket = use_store(moto)
    photos = Store.at(f"{bucket}/photos")
    for photo in sorted(PHOTOS.glob("*.jpg"))[:3]:
        photos.publish(photo.name, photo.read_bytes())
    for output in ("masks", "before"):
        write_demo(f"{bucket}/{output}", f"{bucket}/photos")
    report = written_report(Preview(f"{bucket}/masks", compare=f"{bucket}/before"))
    assert (report.report, report.images, report.unreadable) == (f"{bucket}/masks/report.html", 3, 0)
    page = Store.at(f"{bucket}/masks").read("report.html")
    assert len(page) == report.bytes
    found = re.search(rb'id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    for image in json.loads(found[1])["images"]:
        before, after = image["sides"]
        assert before["runs"] == after["runs"]
        assert after["matches"] == [[0, mask, 1.0] for mask in range(after["masks"])]
