"""A library on disk: storage, catalog, journal, clock, and access to the upload tree."""
