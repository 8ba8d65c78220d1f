"""How people and schedulers start sam-label: the `sam-label` command and its job files."""

OWN_PACKAGES = ("jobs", "pipeline", "sam_core", "sam_label")  # all that the wheel installs
