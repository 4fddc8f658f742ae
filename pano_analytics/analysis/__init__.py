"""Analysis of uploads: functions that take and return frames, without files or output."""
