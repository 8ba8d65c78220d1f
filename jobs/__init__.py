"""How people and schedulers start sam-label: the `sam-label` command and its job files."""
