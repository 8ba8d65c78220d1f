"""How people and schedulers start sam-label: the `sam-label` command and its job files."""

OWN_PACKAGES = ("jobs", "pipeline", "sam_core", "sam_label")  # all that the wheel installs
# The sentence for a package of somebody else's that is missing, or does not fit the others.
MISSING = (
    "a package that sam-label needs cannot be imported ({why}); install sam-label again, preferably into a "
    "new virtual environment"
)
