"""The page that summarizes a run."""
