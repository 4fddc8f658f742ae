"""A library on disk: storage, catalog, journal, clock, and the upload tree beside it."""
