"""Pictures, pages and animations: plain records in, bytes out."""
