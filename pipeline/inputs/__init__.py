"""What an input names: which images there are, and what is left out."""
