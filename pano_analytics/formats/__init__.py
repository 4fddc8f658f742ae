"""The file formats of cameras: one list of file name endings, and one module per container.

Layouts, `receive`, `inspection` and `clips` all use it, so that they agree about which endings are
media, which format a file really has, and whether it is complete.
"""
