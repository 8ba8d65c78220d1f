"""One S3 request in ten fails: the rows stay the same, and none fails wrongly. Run again, it does nothing."""


def test_spoilt_requests_change_nothing(found_by) -> None:
    outcome = found_by("faulted_s3.py", "--images", "20")
    assert outcome["faults"] == []
    assert sum(outcome["spoilt"].values()) > outcome["requests"] / 20, "otherwise nothing was tried"
    assert (outcome["again_labelled"], outcome["again_writes"]) == (0, 0)
