"""The words that mark a card as sam-label's."""

MARKER = "written by sam-label, anew whenever the dataset changes"
