"""From the upload tree to the catalog: walk, read names, open files, commit."""
