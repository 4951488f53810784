"""minirun: one bundle, on the shared kernel or behind hardware virtualization.  Start reading at ``cli.main``."""

__version__ = "0.1.0"
