"""How people and schedulers start it: the `sam-label` command and its job files."""
