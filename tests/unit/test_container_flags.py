"""docker's command line, flag by flag: what each becomes in the record, and how a wrong one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from minirun.cli.container_run_options import CREATE, REFUSED, RUN
from minirun.cli.parse import parse
from minirun.container import mounts, words
from minirun.container.flags import Look, members
from minirun.container.rights import DEFAULT, capabilities, capability_sets, hidden, security
from minirun.container.units import billionths, size
from minirun.errors import USAGE, MinirunError

FILES = {"/here/env": "# no\nA=1\n\n  B=two words\nHOME\n", "/here/labels": "x=y\nalone\n", "/here/bad.json": "[]"}


def read(option: str, path: str) -> str:
    return FILES[path]


LOOK = Look(env={"HOME": "/root", "QQ": "7"}, cwd="/here", read=read, numbers=lambda path: (8, 0))


def flags(*argv: str) -> dict[str, Any]:
    values, found = parse([*argv, "image", "true"], RUN, limit=1, go=False)
    assert found[0] == "image"
    return members(values, found[1:], LOOK)


def refused(*argv: str) -> str:
    with pytest.raises(MinirunError) as caught:
        flags(*argv)
    assert caught.value.exit_code == USAGE
    return caught.value.message


def test_nothing_asked_is_dockers_default():
    made = flags()
    assert made["network"] == "networks" and [one["name"] for one in made["networks"]] == ["bridge"]
    assert made["restart"] == "no" and made["stopTimeout"] == 10 and made["logDriver"] == "json-file"
    asked = made["asked"]
    assert asked["args"] == ["true"] and asked["env"] == [] and asked["mounts"] == [] and "entrypoint" not in asked
    assert asked["shmSize"] == 64 << 20 and asked["pid"] == asked["ipc"] == asked["uts"] == ["private", ""]
    assert asked["resources"] == {} and asked["userns"] == {} and not asked["privileged"]


@pytest.mark.parametrize(
    ("argv", "section", "expected"),
    [
        (["--cpus", "1.5"], "cpu", {"quota": 150000, "period": 100000}),
        (["--cpus=.01"], "cpu", {"quota": 1000, "period": 100000}),
        (["--cpus", "0"], "cpu", None),
        (["--cpu-quota", "50000", "--cpu-period", "200000"], "cpu", {"quota": 50000, "period": 200000}),
        (["--cpu-quota=-1"], "cpu", {"quota": -1}),
        (["-c", "512", "--cpuset-cpus", "0-3,7"], "cpu", {"shares": 512, "cpus": "0-3,7"}),
        (["--cpuset-mems=0"], "cpu", {"mems": "0"}),
        (["-m", "64m"], "memory", {"limit": 64 << 20, "swap": 128 << 20}),
        (["-m64M", "--memory-swap", "-1"], "memory", {"limit": 64 << 20, "swap": -1}),
        (["-m", "1g", "--memory-reservation", "512m", "--memory-swap=1g"], "memory",
         {"limit": 1 << 30, "reservation": 512 << 20, "swap": 1 << 30}),
        (["--pids-limit", "100"], "pids", {"limit": 100}),
        (["--pids-limit", "0"], "pids", {"limit": -1}),
        (["--pids-limit", "-1"], "pids", {"limit": -1}),
        (["--blkio-weight", "300"], "blockIO", {"weight": 300}),
        (["--device-read-bps", "/dev/sda:1mb"], "blockIO",
         {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1 << 20}]}),
        (["--device-write-iops", "/dev/sda:100"], "blockIO",
         {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 100}]}),
        (["--blkio-weight-device", "/dev/sda:50"], "blockIO",
         {"weightDevice": [{"major": 8, "minor": 0, "weight": 50}]}),
        (["--cgroup-conf", "memory.high=1073741824"], "unified", {"memory.high": "1073741824"}),
    ],
)  # fmt: skip
def test_limits(argv, section, expected):
    assert flags(*argv)["asked"]["resources"].get(section) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ["--cpus", "two"], ["--cpus", "0.001"], ["--cpus", "1", "--cpu-quota", "5000"], ["--cpu-period", "1"],
        ["--cpu-quota", "10"], ["--cpuset-cpus", "a"], ["--cpuset-cpus", "3-1"], ["-m", "lots"], ["-m", "1m"],
        ["--memory-swap", "1g"], ["-m", "1g", "--memory-swap", "512m"], ["-m", "6m", "--memory-reservation", "7m"],
        ["--pids-limit", "x"], ["--blkio-weight", "5"], ["--blkio-weight", "1001"], ["--device-read-bps", "sda:1m"],
        ["--device-read-iops", "/dev/sda:1m"], ["--cgroup-conf", "memory.high"], ["--cgroup-conf", "../x=1"],
        ["--ulimit", "nofile"], ["--ulimit", "files=1"], ["--ulimit", "nofile=2:1"], ["--umask", "9"],
        ["--restart", "sometimes"], ["--restart", "always:3"], ["--restart", "always", "--rm"],
        ["--stop-timeout", "soon"], ["--log-driver", "journald"], ["--log-opt", "max-size=0"], ["--log-opt", "x=1"],
        ["-e", "=x"], ["-w", "relative"], ["-w", "/a/../b"], ["-h", "a b"], ["-h", "x" * 65], ["--ip", "1.2.3"],
        ["--dns", "dns.example"], ["--add-host", "name"], ["--add-host", "name:somewhere"], ["--mac-address", "1:2"],
        ["-p", "99999"], ["-p", "80:80/sctp"], ["--expose", "0"], ["--net", "none", "-p", "80:80"],
        ["--net", "host", "--ip", "10.0.0.2"], ["--net", "none", "--net", "bridge"], ["--network", "a,b=c"],
        ["--pid", "mine"], ["--ipc", "container:"], ["--uts", "shareable"], ["--userns", "auto:size=x"],
        ["--userns", "0:1"], ["--userns", "0:1:0"], ["--userns", "auto", "--privileged"], ["--cgroupns", "both"],
        ["--cgroup-parent", "/a/../b"], ["--cap-add", "NET_ADMINN"], ["--cap-drop", "x"],
        ["--security-opt", "nothing"], ["--security-opt", "label=x"], ["--security-opt", "mask=proc"],
        ["--sysctl", "net.ipv4.ip_forward"], ["--device", "fuse"], ["--device", "/dev/fuse:/dev/f:q"],
        ["--device-cgroup-rule", "c 10 r"], ["--oom-score-adj", "2000"], ["--shm-size", "x"],
        ["-v", "a:b:c:d"], ["-v", "a:relative"], ["-v", "/:/"], ["-v", "/a:/b:fast"], ["-v", "a/b:/c"],
        ["-v", "vol:/x:rshared"], ["--mount", "type=bind,dst=/x"], ["--mount", "type=nfs,dst=/x"],
        ["--mount", "type=bind,src=/x"], ["--mount", "type=tmpfs,dst=/x,tmpfs-mode=9"],
        ["--mount", "type=tmpfs,dst=/x,src=/y"], ["--mount", "type=volume,dst=/x,bind-propagation=slave"],
        ["--tmpfs", "run"], ["--tmpfs", "/run:fast"], ["-v", "/a:/x", "--tmpfs", "/x/"], ["--volumes-from", "c:rx"],
        ["--hostname", "x", "--uts", "host"], ["--init", "--pid", "host"], ["-a", "tty"], ["-d", "-a", "stdin"],
        ["--pull", "often"],
    ],
)  # fmt: skip
def test_wrong_values_are_one_usage_error_that_names_the_option(argv):
    message = refused(*argv)
    assert message.startswith(("--", "a mount wants", "a volume's name wants", "invalid published port")), message


@pytest.mark.parametrize("option", REFUSED, ids=lambda option: option.long)
def test_what_is_not_there_is_refused_by_name(option):
    word = [f"--{option.long}", *(["x"] if option.value else [])]
    with pytest.raises(MinirunError) as caught:
        flags(*word)
    assert caught.value.message == f"--{option.long} is not supported" and caught.value.hint


def test_short_options_of_docker_mean_the_same_here():
    short = {option.short: option.long for option in CREATE if option.short}
    assert short == {
        "w": "workdir", "u": "user", "i": "interactive", "t": "tty", "e": "env", "l": "label", "a": "attach",
        "h": "hostname", "P": "publish-all", "p": "publish", "c": "cpu-shares", "m": "memory", "v": "volume",
        "q": "quiet",
    }  # fmt: skip
    made = flags("-dit", "-eX=1", "-ip", "80:80")
    assert made["tty"] and made["stdin"] and made["asked"]["env"] == ["X=1"] and made["ports"][0]["port"] == 80


def test_environment_comes_from_files_then_options_and_the_caller():
    made = flags("--env-file", "env", "-e", "A=2", "-e", "QQ", "-e", "NONE", "-e", "EMPTY=")
    assert made["asked"]["env"] == ["A=2", "B=two words", "HOME=/root", "QQ=7", "EMPTY="]


def test_labels_ulimits_groups_and_the_rest():
    made = flags("--label-file", "labels", "-l", "x=z", "--ulimit", "nofile=1024:2048", "--ulimit", "core=-1",
                 "--ulimit", "nofile=5", "--group-add", "adm", "--umask", "0027", "--entrypoint", "")  # fmt: skip
    assert made["labels"] == {"x": "z", "alone": ""}
    assert made["asked"]["ulimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 5},
        {"type": "RLIMIT_CORE", "soft": words.INFINITY, "hard": words.INFINITY},
    ]
    assert made["asked"]["umask"] == 0o27 and made["asked"]["entrypoint"] == []


def test_networks_in_every_spelling():
    made = flags(
        "--net", "one:ip=10.0.0.5,alias=x", "--network", "name=two,mac-address=02:00:00:00:00:01", "--ip6", "::5"
    )
    assert made["networks"] == [
        {"name": "one", "ip": "10.0.0.5", "ip6": "::5", "mac": "", "aliases": ["x"]},
        {"name": "two", "ip": "", "ip6": "", "mac": "02:00:00:00:00:01", "aliases": []},
    ]
    assert flags("--net", "none")["network"] == "none" and flags("--net", "host")["networks"] == []
    assert flags("--net=container:abc")["network"] == "container:abc"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: mounts.volume("/data", "/h"), ("volume", "", "/data", [])),
        (lambda: mounts.volume("vol:/data:ro,nocopy", "/h"), ("volume", "vol", "/data", ["ro"])),
        (lambda: mounts.volume("./x:/data:Z,rslave", "/h"), ("bind", "/h/x", "/data", ["rslave"])),
        (lambda: mounts.volume("..:/data", "/h"), ("bind", "/h/..", "/data", [])),
        (lambda: mounts.long_form("type=bind,source=/a,target=/b,readonly,bind-propagation=rprivate", "/h"),
         ("bind", "/a", "/b", ["ro", "rprivate"])),
        (lambda: mounts.long_form("src=vv,dst=/b,ro=false,volume-nocopy", "/h"), ("volume", "vv", "/b", ["rw"])),
        (lambda: mounts.long_form("type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700", "/h"),
         ("tmpfs", "", "/b", ["size=1048576", "mode=700"])),
        (lambda: mounts.tmpfs("/run:rw,size=64m,mode=1777,uid=5"),
         ("tmpfs", "", "/run", ["rw", "size=67108864", "mode=1777", "uid=5"])),
        (lambda: mounts.tmpfs("/run:size=50%"), ("tmpfs", "", "/run", ["size=50%"])),
    ],
)  # fmt: skip
def test_mounts(made, expected):
    one = made()
    assert (one.kind, one.source, one.target, one.options) == expected
    assert one.create == (one.kind == "bind" and "rprivate" not in one.options)


def test_capabilities_as_docker_counts_them():
    assert set(capabilities([], [], False)) == set(DEFAULT)
    assert "NET_ADMIN" in capabilities(["cap_net_admin"], ["CHOWN"], False)
    assert "CHOWN" not in capabilities([], ["chown"], False)
    assert capabilities(["NET_RAW"], ["ALL"], False) == ["NET_RAW"] and capabilities([], ["all"], False) == []
    assert len(capabilities(["ALL"], ["SYS_ADMIN"], False)) == 40 and len(capabilities([], [], True)) == 41
    ordinary = capability_sets(["CHOWN", "NET_RAW"], False, ["NET_RAW"])
    assert ordinary["bounding"] == ["CAP_CHOWN", "CAP_NET_RAW"] and ordinary["ambient"] == ["CAP_NET_RAW"]


def test_security_options():
    made = security(["no-new-privileges", "seccomp=unconfined", "label=type:t", "label:level:s0:c1", "mask=/a:/b",
                     "unmask=/proc/kcore", "systempaths=unconfined", "apparmor=p"])  # fmt: skip
    assert made.no_new_privileges and made.seccomp == "unconfined" and made.label == "type=t;level=s0:c1"
    assert made.mask == ["/a", "/b"] and made.unmask == ["/proc/kcore", "ALL"] and made.apparmor == "p"
    masked, readonly = hidden({"mask": ["/x"], "unmask": ["/proc/kcore"]})
    assert "/x" in masked and "/proc/kcore" not in masked and "/proc/keys" in masked and "/proc/sys" in readonly
    assert hidden({"privileged": True}) == ([], []) and hidden({"unmask": ["ALL"]}) == ([], [])


def test_an_env_file_is_no_shell_script():
    with pytest.raises(MinirunError, match="not 'export X=1'") as error:
        words.environment(["A=1\nexport X=1\n"], [], {})
    assert "no export" in error.value.hint


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--net", "none", "-p", "80:80"], "--publish 80:80 cannot stand beside --network none"),
        (["--net", "host", "--ip", "10.0.0.2"], "--ip 10.0.0.2 cannot stand beside --network host"),
        (["--net", "none", "--network-alias", "db"], "--network-alias db cannot stand beside --network none"),
        (["--net", "container:web", "--dns", "1.1.1.1"], "--dns 1.1.1.1 cannot stand beside --network container:web"),
        (["--domainname", "x", "--uts", "host"], "--domainname x cannot stand beside --uts host"),
        (["--init", "--pid", "host"], "--init cannot stand beside --pid host"),
        (["--restart", "always", "--rm"], "--restart always cannot stand beside --rm"),
        (["-v", "here/x:/y"], "a volume's name wants two or more of letters, digits, _ . and -, not 'here/x'"),
    ],
)
def test_what_cannot_be_together_is_named_both(argv, said):
    assert refused(*argv) == said


@given(st.integers(0, 1 << 40), st.sampled_from(["", "b", "k", "kb", "KiB", "m", "M", "MB", "g", "GiB"]))
def test_sizes_are_powers_of_1024(number, unit):
    shift = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}[unit[:1].lower()]
    if number << shift < 1 << 63:
        assert size("--memory", f"{number}{unit}") == number << shift


def test_parts_of_a_size_and_of_a_cpu():
    assert size("--memory", "1.5g") == 3 << 29 and size("--shm-size", "0.5k") == 512
    assert billionths("--cpus", "0.000000001") == 1 and billionths("--cpus", "12") == 12 * 10**9


@given(st.text(max_size=12))
@settings(deadline=None)  # the first call imports
def test_any_words_are_a_value_or_a_usage_error(text):
    for option in ("-v", "--mount", "--tmpfs", "-p", "-m", "--cpus", "--ulimit", "--device", "--add-host", "--network",
                   "--userns", "--security-opt", "--restart", "--expose", "-e", "-l"):  # fmt: skip
        try:
            flags(f"{option}={text}" if option.startswith("--") else f"{option}{text or '='}")
        except MinirunError as error:
            assert error.exit_code in (USAGE, 125), (option, text)
        except KeyError:  # --security-opt seccomp=FILE: there is no such file here
            assert option == "--security-opt"


def test_relabelling_is_nothing_to_do_or_refused():
    """Without a label the container is in the caller's domain, and opens what he can open."""
    assert [
        one["relabel"]
        for one in flags("-v", "/a:/a:Z", "--mount", "type=bind,src=/b,dst=/b,relabel=shared")["asked"]["mounts"]
    ] == [True, True]
    assert "cannot relabel what is mounted on /a" in refused(
        "-v", "/a:/a:z", "--security-opt", "label=type:container_t"
    )
    flags("-v", "/a:/a:z", "--security-opt", "label=disable")
