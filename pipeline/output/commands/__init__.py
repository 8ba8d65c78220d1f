"""What is asked of a dataset after its run: a function for each command."""
