"""Worker processes: with limits for opening untrusted files, and in parallel batches."""
