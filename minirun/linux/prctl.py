"""prctl(2) for the processes that stay, through python-prctl; imported only once a process is known to stay."""

from __future__ import annotations


def settle(name: str) -> None:
    """Become a supervisor: a name that ps shows, and the parent of the container's orphans.

    python-prctl needs libcap's headers to build.  Without it supervising works just the same, so this says
    nothing; ``minirun doctor`` does.
    """
    try:
        import prctl
    except ImportError:
        return
    prctl.set_name(name[:15])
    prctl.set_child_subreaper(1)


def available() -> str:
    """Empty, or why python-prctl is not there."""
    try:
        import prctl  # noqa: F401 (the import is the question)
    except ImportError as error:
        return f"python-prctl cannot be imported ({error}): install libcap-dev and run make setup"
    return ""
