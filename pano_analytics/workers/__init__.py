"""Where work runs: processes with limits, and the crew that opens files."""
