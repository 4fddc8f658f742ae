"""Receive uploads by FTP: each camera in its own folder, only complete files get their name."""
