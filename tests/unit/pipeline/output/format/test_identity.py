"""The scale of deep samples is part of the identity; datasets from before it have the default."""

from dataclasses import replace

from pipeline.output.format.identity import Identity
from sam_core.options import MaskOptions

IDENTITY = Identity("vit_t", "0" * 64, MaskOptions())


def test_a_record_without_a_scale_is_of_the_default_one() -> None:
    record = IDENTITY.described()
    del record["scale"]
    assert Identity.from_described(record) == IDENTITY
    assert Identity.from_described(record).fingerprint == record["fingerprint"] == "d346fb4a5aed497f"


def test_another_scale_is_another_identity_and_says_so() -> None:
    other = replace(IDENTITY, scale="0:4095")
    assert other.fingerprint != IDENTITY.fingerprint
    assert IDENTITY.differences(other) == ["scale 0:4095, not full"]
    assert Identity.from_described(other.described()) == other


def test_bands_and_nodata_are_part_of_it_where_they_are_set() -> None:
    assert IDENTITY.described().keys().isdisjoint({"bands", "nodata"})
    other = replace(IDENTITY, bands=(4, 3, 2), nodata=0.0)
    assert other.fingerprint != IDENTITY.fingerprint
    assert IDENTITY.differences(other) == ["bands 4,3,2, not None", "nodata 0.0, not None"]
    assert Identity.from_described(other.described()) == other
