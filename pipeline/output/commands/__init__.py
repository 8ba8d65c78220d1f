"""What can be done with a dataset after its run: a function for each command."""
