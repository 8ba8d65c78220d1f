"""The words by which a card is known as ours."""

MARKER = "written by sam-label, anew whenever the dataset changes"
