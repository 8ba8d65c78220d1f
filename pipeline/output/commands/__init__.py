"""The commands on an existing dataset, a function for each."""
