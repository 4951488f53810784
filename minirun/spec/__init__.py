"""PURE: config.json of the OCI runtime-spec: reading it, checking it, making a first one.

``decode`` (bytes -> JSON value), ``schema`` (what a member may be), ``check`` (every problem at once, each with
its JSON pointer), ``template`` (what ``minirun spec`` writes).
"""
