"""Writes README.md and croissant.json, which describe a dataset to people, hubs and other tools.

Both are made from the run record and the commits alone, so they cost the same for any number of images. The
process that changes a dataset writes them at the end of each change. A file of the same name without the
marker belongs to the user, and stays.
"""

import logging

from pipeline.output.card_text import card_text
from pipeline.output.croissant import croissant_text
from pipeline.output.dataset import Dataset
from pipeline.output.description import MARKER
from pipeline.output.format.names import CROISSANT, README
from pipeline.store.storage import Store

_log = logging.getLogger("sam_label.output")
_TEXTS = {README: card_text, CROISSANT: croissant_text}


def publish_card(dataset: Dataset) -> None:
    """Updates both files. An error is only a warning, since the dataset is whole without them."""
    for name, text in _TEXTS.items():
        try:
            _publish(dataset.store, name, text(dataset).encode())
        except Exception as fault:  # noqa: BLE001  no run may fail for its description
            _log.warning("%s could not be written: %s", dataset.store.uri(name), fault)


def _publish(store: Store, name: str, data: bytes) -> None:
    before = store.read(name) if store.info(name) is not None else None
    if before == data:
        return
    if before is not None and MARKER.encode() not in before:
        _log.info("%s was not written by sam-label, and is left unchanged", store.uri(name))
        return
    store.publish(name, data)
