"""The faces: OCI verbs in runc's spelling, parsed by a lean parser; human verbs and all help through click.

``main`` (entry and dispatch), ``options`` (the one table of verbs and options), ``parse`` (the lean parser),
``oci`` (one function a verb), ``log`` (--log and --log-format), ``human`` (click).
"""
