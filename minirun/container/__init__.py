"""A container as people know it: a name, an image, a writable layer, a network, a log, and a monitor that outlives us.

It joins ``images``, ``network`` and ``runtime``, which do not know each other: each verb only builds an OCI bundle and
calls the same ``runtime`` as ``minirun run``.
"""
