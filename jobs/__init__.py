"""How people and schedulers start it: the `sam-label` command, job files, submission."""
