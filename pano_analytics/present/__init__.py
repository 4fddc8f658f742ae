"""An upload as people see it: clips that browsers play."""
