"""A program in a VM without a kernel."""
