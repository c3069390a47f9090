"""Run folders: the record of a run's configuration, and the reader and writer of each file."""
