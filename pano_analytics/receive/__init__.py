"""Receiving uploads by FTP: each camera in its own folder, each name with its last byte or not."""
