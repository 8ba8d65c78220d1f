"""Images that kill their decoders or labelers, side by side, in a small run; poison.py is the full one."""


def test_each_poison_is_a_failed_row_and_its_neighbours_are_labelled(found_by) -> None:
    found = found_by("poison.py", "--images", "12", "--every", "6")
    assert (found["poisons"], found["faults"], found["most_attempts"]) == (4, [], 3)
