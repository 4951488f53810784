"""From a record to config.json: what the image says, what the command line says, and what neither may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from minirun.cli.container_run_options import CREATE
from minirun.cli.parse import parse
from minirun.container import profile, users
from minirun.container.bundle import Site, cgroup, config, environment, joins, workdir
from minirun.container.default_filter import default
from minirun.container.flags import Look, members
from minirun.container.record import Container
from minirun.container.together import complete, implied
from minirun.errors import MinirunError
from minirun.spec import check

ID = "ab" * 32


class NoShelf:
    def find(self, word: str) -> Any:
        raise AssertionError(word)


class SomeImage:
    def __init__(self, **members: Any) -> None:
        self.config = {"config": members}


def container(*argv: str, **image: Any) -> Container:
    values, words = parse([*argv, "image"] if "image" not in argv else list(argv), CREATE, limit=1, go=False)
    look = Look(env={}, cwd="/", read=lambda option, path: "", numbers=lambda path: (8, 0))
    request = type("R", (), {"members": members(values, words[1:], look)})
    made = complete(NoShelf(), request, SomeImage(**image))  # type: ignore[arg-type]
    return Container(id=ID, name="n", created="", **made)


def document(made: Container, **site: Any) -> dict[str, Any]:
    place = Site(storage="/st", directory=f"/st/containers/{ID}", rootfs=f"/st/containers/{ID}/rootfs", **site)
    return config(made, place, users.User(groups=[]))


@pytest.mark.parametrize(
    ("argv", "image", "args"),
    [
        ([], {"Cmd": ["sh"]}, ["sh"]),
        ([], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["e", "c"]),
        (["image", "x", "y"], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["e", "x", "y"]),
        (["--entrypoint", "mine", "image"], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["mine"]),
        (["--entrypoint", "", "image", "x"], {"Entrypoint": ["e"], "Cmd": ["c"]}, ["x"]),
        (["--init"], {"Cmd": ["sh"]}, ["/dev/init", "--", "sh"]),
        (["image", "-x", "--rm"], {}, ["-x", "--rm"]),
    ],
)
def test_entrypoint_and_words(argv, image, args):
    assert document(container(*argv, **image))["process"]["args"] == args


def test_nothing_to_run_is_said_before_anything_is_made():
    with pytest.raises(MinirunError) as caught:
        container()
    assert caught.value.exit_code == 127 and "nothing to run" in str(caught.value)


def test_environment_in_dockers_order():
    made = container("-t", "-e", "A=mine", "-e", "HOME=/x", Cmd=["sh"], Env=["A=image", "B=b", "PATH=/only", "bad"])
    assert environment(made, "/root") == [
        "PATH=/only", f"HOSTNAME={ID[:12]}", "TERM=xterm", "A=mine", "B=b", "HOME=/x",
    ]  # fmt: skip


def test_an_images_working_directory_cannot_climb():
    assert workdir(container(Cmd=["sh"], WorkingDir="../..//srv/../x")) == "/srv/x"


def test_every_configuration_is_valid_for_the_runtime():
    flags = [
        "--privileged", "-m64m", "--cpus=2", "--pids-limit=9", "--tmpfs=/run", "-v/a:/b:ro", "--read-only", "--init",
        "--umask=27", "--oom-score-adj=5", "--ulimit=nofile=5", "--sysctl=net.ipv4.ip_forward=1", "-hx",
    ]  # fmt: skip
    for flag in ([], *([word] for word in flags), flags):
        made = document(container(*flag, Cmd=["sh"], User="5", Labels={"a": "b"}))
        check.config(made, "config.json")


def test_mounts_replace_the_usual_ones_and_come_shallow_first():
    made = container("-v/a:/x/y", "-v/b:/x", "--tmpfs=/dev/shm", "-v/etc/hosts:/etc/hosts", Cmd=["sh"])
    mounts = document(made)["mounts"]
    targets = [one["destination"] for one in mounts]
    assert targets.index("/x") < targets.index("/x/y") and len(targets) == len(set(targets))
    assert next(one for one in mounts if one["destination"] == "/etc/hosts")["source"] == "/etc/hosts"
    assert document(container("-v/a:/b:rshared", Cmd=["sh"]))["linux"]["rootfsPropagation"] == "rshared"


def test_namespaces():
    def kinds(*argv: str, **site: Any) -> dict[str, str]:
        return {
            one["type"]: one.get("path", "")
            for one in document(container(*argv, Cmd=["sh"]), **site)["linux"]["namespaces"]
        }

    assert set(kinds()) == {"mount", "pid", "ipc", "uts", "network", "cgroup"}
    assert set(kinds("--net=host", "--pid=host", "--ipc=host", "--uts=host", "--cgroupns=host")) == {"mount"}
    assert kinds(netns="/proc/7/fd/9")["network"] == "/proc/7/fd/9"
    made = container("--net=none", Cmd=["sh"])
    made.asked["pid"], made.network = ["container", "x"], "container:y"
    assert joins(made) == {"pid": "x", "network": "y"}
    joined = document(made, joined={"pid": "/proc/1/ns/pid", "network": "/proc/1/ns/net"})
    assert {"type": "pid", "path": "/proc/1/ns/pid"} in joined["linux"]["namespaces"]
    assert "user" in kinds("--userns=0:100000:65536")


def test_cgroups():
    assert cgroup(container(Cmd=["sh"])) == f"/minirun/{ID}"
    assert cgroup(container("--cgroup-parent=/a/b/", Cmd=["sh"])) == f"/a/b/{ID}"


def test_an_images_volumes_are_anonymous_unless_something_is_there():
    made = implied({"mounts": [{"target": "/there"}]}, {"Volumes": {"/there": {}, "/new/": {}, "../..": {}, "/": {}}})
    assert [(one["target"], one["source"], one["copy"]) for one in made] == [("/new", "", True)]


def test_the_default_filter_gives_back_what_a_capability_allows():
    plain = default(["CHOWN"], "x86_64")
    named = set(plain["syscalls"][0]["names"])
    assert {"openat", "read", "clone3", "mount", "unshare", "keyctl", "bpf", "io_uring_setup"} & named == {
        "openat",
        "read",
    }
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in plain["syscalls"]
    admin = default(["SYS_ADMIN", "SYS_TIME"], "x86_64")
    assert {"mount", "unshare", "clone", "clone3", "settimeofday"} <= set(admin["syscalls"][0]["names"])
    assert "architectures" not in default([], "riscv64")


BROKEN: list[Any] = [[], {}, {"defaultAction": "x", "syscalls": {"x": 1}},
                     {"defaultAction": "x", "syscalls": [{"names": []}]}]  # fmt: skip


def test_a_profile_in_dockers_form():
    text = {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["arm_only"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.1"}},
            {"name": "old", "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_CHOWN"]}},
        ],
    }  # fmt: skip
    names = lambda held, kernel: [  # noqa: E731 (three times the same question)
        rule["names"][0] for rule in profile.section(text, held, "x86_64", kernel, "p")["syscalls"]
    ]
    assert names([], (5, 14)) == ["read", "old"]
    assert names(["SYS_ADMIN", "CHOWN"], (6, 1)) == ["read", "bpf", "new"]
    made = profile.section(text, [], "x86_64", (6, 1), "p")
    assert made["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] and "args" not in made["syscalls"][0]
    for broken in BROKEN:
        with pytest.raises(MinirunError, match="cannot use the seccomp profile"):
            profile.section(broken, [], "x86_64", (6, 1), "p")


# -- people of the image ---------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "# none\nroot:x:0:0:root:/root:/bin/sh\nbad:x:-1:0:::\nguest:x:1000:100::/home/g:/bin/sh\n"
        "12:x:77:78::/n:\nshort:x:1\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nusers:x:100:\naudio:x:63:guest,x\nbroken:x:no:guest\n")
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", (0, 0, [0], "/root")),
        ("guest", (1000, 100, [100, 63], "/home/g")),
        ("1000", (1000, 100, [100, 63], "/home/g")),
        ("guest:audio", (1000, 63, [63], "/home/g")),
        ("guest:5", (1000, 5, [5], "/home/g")),
        ("4294967294", (4294967294, 0, [0], "/")),
        ("12", (77, 78, [78], "/n")),  # a name before a number
        (":audio", (0, 63, [63], "/root")),
    ],
)
def test_users_as_docker_finds_them(root, user, expected):
    found = users.resolve(root, user, [])
    assert (found.uid, found.gid, found.groups, found.home) == expected


@pytest.mark.parametrize("user", ["nobody", "bad", "short", "guest:nothing", "-1", "4294967295", "1000000000000"])
def test_unknown_users_are_refused(root, user):
    with pytest.raises(MinirunError, match=r"unknown (user|group)"):
        users.resolve(root, user, [])


@pytest.mark.parametrize("kind", ["link", "up", "fifo", "directory", "huge", "magic"])
def test_a_hostile_passwd_is_never_the_hosts_and_never_waited_for(root, tmp_path, kind):
    """The image's /etc/passwd may be anything: a link out of it ends inside, what is no file has no users."""
    file = tmp_path / "etc/passwd"
    file.unlink()
    outside = tmp_path.parent / "outside"
    outside.write_text("daemon:x:1:1::/:\n")
    if kind == "link":
        file.symlink_to(outside)
    elif kind == "up":
        file.symlink_to("../../outside")
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    elif kind == "huge":
        with file.open("w") as out:
            out.truncate(1 << 30)
    else:
        file.symlink_to("/proc/self/root/etc/passwd")
    with pytest.raises(MinirunError):
        users.resolve(root, "daemon", [])
    if kind != "huge":
        assert users.resolve(root, "5:6", []).uid == 5
