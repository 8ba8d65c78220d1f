"""Options of the command line and of job files, made from the configuration's fields."""
