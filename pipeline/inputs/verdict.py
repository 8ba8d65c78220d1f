"""Whether a listed file is to be labelled, by one rule for disks and stores.

The content decides what an image is, but a folder of photos also holds notes and annotations. A file whose
name says image is listed (a text file named .jpg becomes a failed row: it is reported, not lost). One whose
name says something else is left out, and so is an empty one without an image's name: `_SUCCESS`, `x_$folder$`
and other markers. Any other file is listed if its first bytes are an image's.
"""

from pipeline.errors import StoreError
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.images.names import says_image, says_other
from pipeline.inputs.kinds import is_container
from pipeline.inputs.selection import Selection
from pipeline.inputs.skipped import Why
from pipeline.store.objects import Entry, is_hidden
from pipeline.store.storage import Store


def why_left_out(
    store: Store,
    entry: Entry,
    selection: Selection,
    is_named: bool = False,
    with_containers: bool = False,
) -> Why | None:
    """None for a file that is taken; `is_named`: the user gave its full name, so it may be hidden.

    `with_containers`: archives and tables are opened.
    """
    if is_hidden(entry.name) and not is_named:
        return Why.HIDDEN
    opens = with_containers and is_container(entry.name)
    if says_other(entry.name) and not opens:
        return Why.OTHER_FILE
    if entry.leads_out:
        return Why.LINK
    if selection.excludes_file(entry.name):
        return Why.EXCLUDED
    if opens or says_image(entry.name):
        return None
    if entry.size == 0 and entry.etag:
        return Why.EMPTY
    return None if starts_as_image(store, entry) else Why.OTHER_FILE


def starts_as_image(store: Store, file: Entry) -> bool:
    if file.size == 0 and file.etag:
        return False
    try:
        return image_format(store.read_range(file.name, 0, HEADER_BYTES)) is not None
    except StoreError:
        return True  # its row will say why it cannot be read
