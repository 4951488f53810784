"""Carries out a plan: host operations with an undo stack, init's through ``minirun-init``.

Read ``execute`` first (the walk through the list), then ``host`` (what the host's operations do), ``init`` (the
process and its protocol) and ``report`` (a failure becomes a ``MinirunError``).
"""
