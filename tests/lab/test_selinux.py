"""SELinux in force: labels of programs, in run and in exec, of new file systems and of the session keyring.

Under the smallest policy that the kernel takes; permissive, for it allows nothing.  What is tested is what becomes of
the labels, not what a policy makes of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bundle, Runtime
from tests.integration.seen import ask, ask_in, mark, mounts

pytestmark = [pytest.mark.lab_selinux, pytest.mark.needs("root", "busybox", "checkpolicy")]

SELINUX = Path("/sys/fs/selinux")
# Initial SIDs go by their number: there must be as many (security/selinux/include/initial_sid_to_string.h).
SIDS = [f"sid{number}" for number in range(1, 28)]
CLASSES = {
    "process": "fork transition sigchld dyntransition setexec setkeycreate", "filesystem": "mount", "dir": "search",
    "file": "read", "lnk_file": "read", "fifo_file": "read", "chr_file": "read",
}  # fmt: skip


def policy() -> str:
    lines = [f"class {name}" for name in CLASSES] + [f"sid {name}" for name in SIDS]
    lines += [f"class {name} {{ {rights} }}" for name, rights in CLASSES.items()]
    lines += ["policycap nnp_nosuid_transition;"]
    lines += [f"type {name};" for name in ("host", "box", "other", "files")]
    lines += [
        "role r;",
        "role r types { host box other files };",
        "allow host host : process fork;",
        "user u roles { r };",
    ]
    lines += [f"sid {name} u:r:host" for name in SIDS]
    lines += ["fs_use_trans tmpfs u:r:host;", "fs_use_trans devpts u:r:host;", "genfscon proc / u:r:host"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For as long as the machine lives: a policy cannot be taken out again."""
    folder = tmp_path_factory.mktemp("policy")
    (folder / "policy.conf").write_text(policy())
    words: list[str | Path] = [
        "checkpolicy",
        "-U",
        "allow",
        "-c",
        "33",
        "-o",
        folder / "policy",
        folder / "policy.conf",
    ]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-t", "selinuxfs", "selinuxfs", SELINUX], check=True)
    (SELINUX / "load").write_bytes((folder / "policy").read_bytes())
    yield
    subprocess.run(["umount", SELINUX], check=True)


def label(text: str) -> str:
    return text.strip("\0\n ")


def test_programs(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["selinuxLabel"] = "u:r:box"
    mark(bundle)
    assert [label(text) for text in ask(minirun, bundle, "label", "cat /proc/self/attr/exec")] == ["u:r:box", ""]
    name = minirun.start(bundle.args("/probe", "pause"))
    assert label(ask_in(minirun, name, "label")[0]) == "u:r:box"
    assert label(ask_in(minirun, name, "label", flags=("--process-label", "u:r:other"))[0]) == "u:r:other"


def test_mounts(minirun: Runtime, bundle: Bundle) -> None:
    """New file systems, but for those that label themselves."""
    bundle.config["linux"]["mountLabel"] = "u:r:files"
    (text,) = ask(minirun, bundle, "mountinfo")
    labelled = {target for target, mount in mounts(text).items() if "context=u:r:files" in mount.superblock}
    assert labelled >= {"/dev", "/dev/pts", "/dev/shm"}
    assert not labelled & {"/", "/proc", "/sys", "/sys/fs/cgroup", "/dev/mqueue"}


def test_a_label_that_the_policy_does_not_know(minirun: Runtime, bundle: Bundle) -> None:
    bundle.config["process"]["selinuxLabel"] = "u:r:nowhere"
    done = minirun.run(bundle)
    assert done.returncode == 125 and "u:r:nowhere: Invalid argument" in done.stderr
    assert "  config   /process/selinuxLabel in " in done.stderr
