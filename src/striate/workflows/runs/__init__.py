"""Run folders: the record of what a run is made with, and the reader and writer of each file."""
