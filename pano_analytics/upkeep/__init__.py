"""Maintenance of a library: culling, check, rebuild and backup."""
