"""The static site: pages of pictures beside clips that need no server and hardly any script."""
