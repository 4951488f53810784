"""PURE: spec + facts -> a plan, one ordered list of operations.

Read in this order: ``ops`` (what there is to say), ``container`` (the order it is said in), then one module per
concern.  Nothing here imports ``os`` or ``linux``: a plan can be made, read and tested on any machine.
"""
