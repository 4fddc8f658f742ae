"""All parts in one command: kept at work, their words in one log, their health told.

`run.up` does it; nothing is imported here, since each part begins with `child`
and is to stay small.
"""
