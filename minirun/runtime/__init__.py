"""The OCI lifecycle (runtime.md): create, start, kill, delete, exec and the rest, over one store.

``store`` (what is on disk), ``create`` and ``start`` (the two halves of run), ``foreground`` and ``terminal``
(minirun as the container's parent), ``execute`` (one more process), ``lifecycle`` (kill, delete, pause, resume).
"""
