"""Vectors in exports: Lance has them; the other formats have no place for them."""

from pathlib import Path

import lance

from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions


def test_lance_has_them_and_the_other_forms_do_without(tmp_path: Path, rehearsal) -> None:
    photos, output = rehearsal([f"{number:02d}" for number in range(20)]), str(tmp_path / "out")
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(mask_embeddings=True))
    photos.run(Store.at(output))
    where = {"where": "area > 30"}
    exported(ExportConfig(output=output, dest=str(tmp_path / "x.lance"), format="lance", **where))
    found = {row["image_id"]: row for row in lance.dataset(str(tmp_path / "x.lance")).to_table().to_pylist()}
    assert found
    for row in photos.rows():
        chosen = [index for index, area in enumerate(row["mask_area"] or ()) if area > 30]
        if chosen:
            one = found.pop(row["image_id"])
            assert one["mask_embedding"] == [row["mask_embedding"][index] for index in chosen]
            assert one["image_embedding"] == row["image_embedding"]
    assert found == {}
    counts = exported(ExportConfig(output=output, dest=str(tmp_path / "coco.json"))).counts
    assert counts.masks == sum(row["num_masks"] or 0 for row in photos.rows())
    assert "embedding" not in (tmp_path / "coco.json").read_text().partition('"images"')[2]
