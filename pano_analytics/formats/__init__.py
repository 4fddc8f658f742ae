"""What files of cameras hold, byte by byte: one list of endings, one module per container.

Layouts, `receive`, `inspection` and `clips` all ask here, so that they agree about
which endings are media, what a file really is, and whether its end is there.
"""
