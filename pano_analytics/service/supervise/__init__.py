"""`pano up`: runs all parts, restarts them, writes one log, and reports their health.

The entry point is `run.up`. Nothing is imported here: each part imports `child` first, and should
use little memory.
"""
