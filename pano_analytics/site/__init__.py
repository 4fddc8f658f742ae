"""The static site: pages with pictures and clips that need no server and almost no script."""
