"""PURE: boot protocols.  Bytes of a kernel in, segments and registers out; no ioctl, no file is opened here."""
