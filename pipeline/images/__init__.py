"""From a URI to pixels: listing, fetching, and decoding in processes that may die."""
