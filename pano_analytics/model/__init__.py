"""What everything here speaks of: an upload, its tables, times, zones and names."""
