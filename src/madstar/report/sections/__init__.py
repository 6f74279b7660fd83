"""The sections of a run's page, one file each: plain data for the template of the same name."""
