"""A dataset for eyes: its masks drawn over its photos. Needs neither Ray nor torch."""
