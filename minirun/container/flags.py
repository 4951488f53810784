"""The command line of ``container run`` and ``create`` -> members of the container's record.

Everything is checked here that can be without an image, so that a wrong command line has done nothing: no pull, no
volume, no directory.  What a file says (--env-file, --label-file, a seccomp profile) is read now and kept in the
record, as docker does; what a device is, is looked at again at every start.
"""

from __future__ import annotations

from minirun.container import mounts, words
from minirun.container.limits import resources
from minirun.container.rights import Security, capabilities, security
from minirun.container.units import choice, clash, number, size, wrong
from minirun.errors import MinirunError
from minirun.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from minirun.cli.parse import Values

LOG_DRIVERS = ("json-file", "none", "passthrough")


class Look(Record):
    """What the flags need to know of the world around them."""

    env: dict[str, str]
    cwd: str
    read: Callable[[str, str], str]  # option, path -> a file's text
    numbers: Callable[[str], tuple[int, int]]  # a block device's major, minor
    network: str = "bridge"  # what a container gets that names none; an ordinary user's is another


def members(values: Values, command: list[str], look: Look) -> dict[str, Any]:
    """Of a Container: all but id, name, created, the image's, volumes and what stands for other containers' names."""
    policy, retries = words.restart(values.text("restart"), values.on("rm"))
    made = {
        "tty": values.on("tty"),
        "stdin": values.on("interactive"),
        "remove": values.on("rm"),
        "restart": policy,
        "retries": retries,
        "stopTimeout": number("--stop-timeout", values.text("stop_timeout") or "10", -1, 1 << 30),
        "logDriver": choice("--log-driver", values.text("log_driver") or "json-file", *LOG_DRIVERS),
        "logOptions": log_options(values),
        "pidFile": mounts.absolute(values.text("pidfile"), look.cwd) if values.text("pidfile") else "",
        "ephemeral": values.on("ephemeral"),
        "labels": words.labels(texts(values, "label_file", look), values.listed("label")),
        "stopSignal": values.text("stop_signal"),
        **network(values, look.network),
    }
    made["asked"] = {
        **program(values, command, look),
        **surroundings(values),
        **rights(values, look),
        "resources": resources(values, look.numbers),
        "mounts": [wanted.plain() for wanted in all_mounts(values, look.cwd)],
        "volumesFrom": [volumes_from(text) for text in values.listed("volumes_from")],
    }
    conflicts(values, made)
    return made


def texts(values: Values, option: str, look: Look) -> list[str]:
    spelled = f"--{option.replace('_', '-')}"
    return [look.read(spelled, mounts.absolute(path, look.cwd)) for path in values.listed(option)]


def program(values: Values, command: list[str], look: Look) -> dict[str, Any]:
    """What runs, as whom, where."""
    made: dict[str, Any] = {
        "args": command,
        "env": words.environment(texts(values, "env_file", look), values.listed("env"), look.env),
        "workdir": values.text("workdir"),
        "user": values.text("user"),
        "groups": values.listed("group_add"),
        "ulimits": ulimits(values.listed("ulimit")),
        "init": values.on("init"),
    }
    if "entrypoint" in values:
        made["entrypoint"] = [values.text("entrypoint")] if values.text("entrypoint") else []
    if made["workdir"] and (not made["workdir"].startswith("/") or ".." in made["workdir"].split("/")):
        raise wrong("--workdir", made["workdir"], "an absolute path without ..")
    if values.text("umask"):
        made["umask"] = words.umask(values.text("umask"))
    if values.text("oom_score_adj"):
        made["oomScoreAdj"] = number("--oom-score-adj", values.text("oom_score_adj"), -1000, 1000)
    return made


def ulimits(given: list[str]) -> list[dict[str, Any]]:
    """The last one of a name counts."""
    return list({limit["type"]: limit for limit in map(words.ulimit, given)}.values())


def log_options(values: Values) -> dict[str, str]:
    made = words.pairs("--log-opt", values.listed("log_opt"))
    for name, value in made.items():
        if name == "max-size":
            if value != "-1" and size("--log-opt max-size", value) < 1:
                raise wrong("--log-opt max-size", value, "a size")
        elif name == "max-file":
            number("--log-opt max-file", value, 1, 1000)
        else:
            raise wrong("--log-opt", f"{name}={value}", "max-size= or max-file=")
    return made


def surroundings(values: Values) -> dict[str, Any]:
    """Names, resolver, cgroup, /dev/shm."""
    made: dict[str, Any] = {
        "addHosts": [list(words.add_host(text)) for text in values.listed("add_host")],
        "dns": [words.check_address("--dns", text) for text in values.listed("dns")],
        "dnsSearch": values.listed("dns_search"),
        "dnsOptions": values.listed("dns_option"),
        "expose": [list(pair) for text in values.listed("expose") for pair in words.expose(text)],
        "publishAll": values.on("publish_all"),
        "domainname": words.host_name("--domainname", values.text("domainname")) if values.text("domainname") else "",
        "cgroupns": choice("--cgroupns", values.text("cgroupns") or "private", "private", "host"),
        "cgroupParent": values.text("cgroup_parent"),
        "shmSize": size("--shm-size", values.text("shm_size") or "64m"),
        "annotations": words.pairs("--annotation", values.listed("annotation")),
    }
    if ".." in made["cgroupParent"].split("/"):
        raise wrong("--cgroup-parent", made["cgroupParent"], "a path without ..")
    return made


def rights(values: Values, look: Look) -> dict[str, Any]:
    """What it may do, and which namespaces are its own."""
    given = security(values.listed("security_opt"))
    add, drop = values.listed("cap_add"), values.listed("cap_drop")
    capabilities(add, drop, values.on("privileged"))  # the names
    made: dict[str, Any] = {
        "privileged": values.on("privileged"),
        "readonly": values.on("read_only"),
        "capAdd": add,
        "capDrop": drop,
        "noNewPrivileges": given.no_new_privileges,
        "apparmor": given.apparmor,
        "label": given.label,
        "mask": given.mask,
        "unmask": given.unmask,
        "sysctl": words.pairs("--sysctl", values.listed("sysctl")),
        "devices": [list(words.device(text)) for text in values.listed("device")],
        "deviceRules": [words.device_rule(text) for text in values.listed("device_cgroup_rule")],
        "userns": words.user_namespace(values.text("userns")),
        **filter_of(given, look),
    }
    for option, more in (("pid", ()), ("ipc", ("shareable", "none")), ("uts", ())):
        text = values.text(option) or "private"
        made[option] = list(words.namespace(f"--{option}", text, "private", "host", *more))
    return made


def filter_of(given: Security, look: Look) -> dict[str, Any]:
    if given.seccomp in ("", "unconfined", "default", "builtin"):
        return {"seccomp": "unconfined" if given.seccomp == "unconfined" else ""}
    from minirun.spec.decode import decode

    path = mounts.absolute(given.seccomp, look.cwd)
    document = decode(look.read("--security-opt seccomp", path).encode(), path)
    from minirun.container.profile import section

    section(document, [], "x86_64", (5, 14), path)  # its shape
    return {"seccomp": "profile", "seccompProfile": document}


def network(values: Values, usual: str) -> dict[str, Any]:
    """``network``: none, host, container:NAME or networks; its members name them."""
    from minirun.network.ports import parse

    given = values.listed("network") or [usual]
    given = [usual if word in ("default", "private") else word for word in given]
    address = {"ip": values.text("ip"), "ip6": values.text("ip6"), "mac": mac(values.text("mac_address"))}
    for option in ("ip", "ip6"):
        if address[option]:
            words.check_address(f"--{option}", address[option])
    made: dict[str, Any] = {"networks": [], "hostname": ""}
    if values.text("hostname"):
        made["hostname"] = words.host_name("--hostname", values.text("hostname"))
    ports = [port for text in values.listed("publish") for port in parse(text)]
    made["ports"] = [dict(zip(port.FIELDS, port.astuple(), strict=True)) for port in ports]
    alone = [text for text in given if text in ("none", "host") or text.startswith("container:")]
    if alone:
        if len(given) > 1:
            raise clash("--network", alone[0], "another --network")
        made["network"] = alone[0]
        for option in ("ip", "ip6", "mac_address", "network_alias"):
            if values.get(option):
                value = values.listed(option)[0] if option == "network_alias" else values.text(option)
                raise clash(f"--{option.replace('_', '-')}", value, f"--network {alone[0]}")
        if made["ports"] and made["network"] != "host":
            raise clash("--publish", values.listed("publish")[0], f"--network {alone[0]}")
        return made
    made["network"] = "networks"
    for index, text in enumerate(given):
        made["networks"].append(one_network(text, address if index == 0 else {}, values.listed("network_alias")))
    return made


def one_network(text: str, address: dict[str, str], aliases: list[str]) -> dict[str, Any]:
    """NAME, or docker's long form name=NAME,ip=...,alias=..., or podman's NAME:ip=...,mac=..."""
    made: dict[str, Any] = {"name": text, "ip": "", "ip6": "", "mac": "", **address, "aliases": list(aliases)}
    first, colon, rest = text.partition(":")
    if colon and "=" in rest and "=" not in first:
        made["name"], text = first, rest
    elif "=" not in text:
        return made
    for word in text.split(","):
        key, _, value = word.partition("=")
        if key in ("name", "ip", "ip6"):
            made[key] = value if key == "name" else words.check_address("--network", value)
        elif key in ("mac", "mac-address"):
            made["mac"] = mac(value)
        elif key == "alias" and value:
            made["aliases"].append(value)
        else:
            raise wrong("--network", text, "name=, ip=, ip6=, mac-address= or alias=")
    return made


def mac(text: str) -> str:
    parts = text.split(":")
    if text and not (len(parts) == 6 and all(len(part) == 2 and not set(part) - set(HEX) for part in parts)):
        raise wrong("--mac-address", text, "six pairs of hexadecimal digits")
    return text.lower()


HEX = "0123456789abcdefABCDEF"


def all_mounts(values: Values, cwd: str) -> list[mounts.Wanted]:
    """No target twice, as docker has it."""
    found = [mounts.volume(text, cwd) for text in values.listed("volume")]
    found += [mounts.long_form(text, cwd) for text in values.listed("mount")]
    found += [mounts.tmpfs(text) for text in values.listed("tmpfs")]
    seen = set()
    for wanted in found:
        wanted.target = "/" + "/".join(part for part in wanted.target.split("/") if part not in ("", "."))
        if wanted.target in seen:
            raise wrong("a mount", wanted.target, "one mount for each place")
        seen.add(wanted.target)
    return found


def volumes_from(text: str) -> list[str]:
    name, _, mode = text.partition(":")
    if not name:
        raise wrong("--volumes-from", text, "CONTAINER[:ro]")
    return [name, choice("--volumes-from", mode or "rw", "ro", "rw", "z", "Z")]


def conflicts(values: Values, made: dict[str, Any]) -> None:
    """Pairs that cannot both be meant."""
    if made["network"].startswith(("container:", "host")) and made["network"] != "host" and made["hostname"]:
        raise clash("--hostname", made["hostname"], f"--network {made['network']}")
    if made["network"].startswith("container:"):
        for option in ("add_host", "dns", "dns_search", "dns_option"):
            if values.listed(option):
                given = values.listed(option)[0]
                raise clash(f"--{option.replace('_', '-')}", given, f"--network {made['network']}")
    if made["network"] == "none" and "host-gateway" in [address for _, address in made["asked"]["addHosts"]]:
        raise clash("--add-host", "host-gateway", "--network none")
    if made["asked"]["uts"][0] != "private" and (made["hostname"] or made["asked"]["domainname"]):
        named = "--hostname" if made["hostname"] else "--domainname"
        raise clash(
            named,
            made["hostname"] or made["asked"]["domainname"],
            f"--uts {':'.join(made['asked']['uts'])}".rstrip(":"),
        )
    if made["asked"]["pid"][0] != "private" and made["asked"]["init"]:
        raise clash("--init", "", f"--pid {':'.join(made['asked']['pid'])}".rstrip(":"), "another is process 1 there")
    relabelled = [entry["target"] for entry in made["asked"]["mounts"] if entry["relabel"]]
    if relabelled and made["asked"]["label"] not in ("", "disable"):
        raise MinirunError(
            f"cannot relabel what is mounted on {relabelled[0]}", exit_code=2,
            reason="minirun changes no file's SELinux label, and --security-opt label= needs one that fits",
            hint="chcon -R -t container_file_t SOURCE, and leave z and Z out",
        )  # fmt: skip
    if made["asked"]["userns"] and made["asked"]["pid"][0] == "container":
        raise clash("--pid", values.text("pid"), "--userns", "the other's /proc could not be mounted")
    if made["asked"]["userns"] and made["asked"]["privileged"]:
        raise clash("--privileged", "", "--userns")
    if values.on("detach") and values.listed("attach"):
        raise clash("--detach", "", "--attach")
    for text in values.listed("attach"):
        choice("--attach", text.lower(), "stdin", "stdout", "stderr")
    if values.text("pull"):
        choice("--pull", values.text("pull"), "always", "missing", "never")
