"""A bundle's program and the host over vsock: only a machine has it."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.conftest import Bundle
from tests.vm.both import Isolated

pytestmark = [pytest.mark.lab, pytest.mark.needs("root", "busybox", "compiler", "guest")]
TOOL = Path(__file__).parent.parent / "lab" / "guest_tool.c"


def test_a_program_calls_the_host(tmp_path: Path, bundle: Bundle) -> None:
    subprocess.run(["cc", "-O1", "-static", "-o", bundle.rootfs / "tool", TOOL], check=True)
    folder = tmp_path / "streams"
    folder.mkdir()
    heard: list[bytes] = []
    door = socket.socket(socket.AF_UNIX)
    door.bind(f"{folder}/v_1024")
    door.listen()

    def answer() -> None:
        with door.accept()[0] as caller:
            while piece := caller.recv(100):
                heard.append(piece)
            caller.sendall(b"the host")

    threading.Thread(target=answer, daemon=True).start()
    bundle.config["annotations"] = {"dev.minirun.vm.vsock": f"{folder}/v"}
    runtime = Isolated(tmp_path / "state", "vm")
    assert runtime.output(bundle, "/bin/sh", "-c", "echo the guest | /tool call 1024") == "the host"
    assert b"".join(heard) == b"the guest\n"
    assert [path.name for path in folder.iterdir()] == ["v_1024"], "the machine's own socket is gone with it"
