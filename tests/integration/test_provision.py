"""The script that makes a Debian machine a lab (Vagrant runs it, make lab-setup runs its half), where it must not rot.

A fresh Debian root comes from debootstrap; a minirun container with the host's network runs the script in it, as
Vagrant would: for an ordinary user who owns the checkout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Json, Runtime, base_config, run

SCRIPT = ROOT / "rootfs" / "lab" / "provision.sh"
# How this host reaches its package registries is this host's affair: a fresh root is told.
OF_THE_HOST = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs")
FORWARDED = ("http_proxy", "https_proxy", "no_proxy")
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # the package in the fresh root will write this anew


@pytest.mark.needs("vagrant")
def test_vagrantfile_is_valid(tmp_path: Path) -> None:
    """Without a provider's plug-in at hand, its block is Ruby that has run, and the rest is checked."""
    for name in ("Vagrantfile", "rootfs"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = run(
        "vagrant", "validate", "--ignore-provider", cwd=tmp_path, env={**os.environ, "VAGRANT_HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("vagrant")
def test_vagrantfile_names_what_is_there(tmp_path: Path) -> None:
    """The check above would notice a script that is gone."""
    shutil.copy(ROOT / "Vagrantfile", tmp_path)
    done = run(
        "vagrant", "validate", "--ignore-provider", cwd=tmp_path, env={**os.environ, "VAGRANT_HOME": str(tmp_path)}
    )
    assert done.returncode != 0 and "provision.sh" in done.stdout + done.stderr


def test_a_wrong_word_is_explained() -> None:
    done = run(SCRIPT, "machines")
    assert done.returncode == 2 and "packages | machine CHECKOUT" in done.stderr


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A bundle with a minimal Debian, this checkout in a user's home, and the host's way to its registries."""
    suite = run("sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME").stdout.strip()
    root = tmp_path / "rootfs"
    done = run("debootstrap", "--variant=minbase", suite, root, timeout=600)
    if done.returncode != 0:
        pytest.skip(f"debootstrap {suite}: {(done.stdout + done.stderr).strip()[-300:]}")
    for path in OF_THE_HOST:
        if os.path.isdir(path):
            shutil.copytree(path, f"{root}{path}", symlinks=True, dirs_exist_ok=True)
        elif os.path.exists(path):
            shutil.copy(path, f"{root}{path}")
    conf = root / "etc" / "pip.conf"
    if conf.exists() and os.path.exists(AUTHORITIES):
        shutil.copy(AUTHORITIES, root / "etc" / "authorities.crt")
        conf.write_text(conf.read_text().replace(AUTHORITIES, "/etc/authorities.crt"))
    for source in Path("/etc/apt").glob("sources.list*"):
        run("cp", "-a", source, root / "etc" / "apt")
    checkout = root / "home" / "student" / "minirun"
    checkout.mkdir(parents=True)
    files = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", cwd=ROOT).stdout.split()
    subprocess.run(["cp", "-a", "--parents", *files, checkout], cwd=ROOT, check=True)
    (tmp_path / "config.json").write_text(json.dumps(configuration()))
    return tmp_path


def configuration() -> Json:
    """Root as on a machine of one's own: all capabilities, a writable root, the host's network."""
    config = base_config("/bin/sh", "-ec", INSIDE)
    config["root"]["readonly"] = False
    config["linux"]["namespaces"] = [entry for entry in config["linux"]["namespaces"] if entry["type"] != "network"]
    with open("/proc/self/status") as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
    from minirun.plan.process import CAPABILITIES

    names = [f"CAP_{name}" for number, name in enumerate(CAPABILITIES) if mask >> number & 1]
    config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    config["process"]["noNewPrivileges"] = False
    config["process"]["env"] += [f"{name}={os.environ[name]}" for name in FORWARDED if name in os.environ]
    return config


INSIDE = """
useradd --create-home --shell /bin/bash student
chown -R student: /home/student
/home/student/minirun/rootfs/lab/provision.sh machine /home/student/minirun
setpriv --reuid student --regid student --init-groups minirun --version
stat -c '%U %n' /home/student/minirun/.venv
cat /home/student/.bash_history
"""


@pytest.mark.slow
@pytest.mark.needs("root", "busybox", "debootstrap")
def test_a_fresh_debian_becomes_a_lab(minirun: Runtime, fresh: Path, clean_host: None) -> None:
    done = minirun("run", "-b", fresh, minirun.name(), timeout=900)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    lines = done.stdout.splitlines()
    first = "cd /home/student/minirun && mkdir web && rootfs/busybox.sh web/rootfs"
    assert any(line.startswith("ok       minirun-init") for line in lines), "doctor has spoken"
    at = lines.index(f"    {first}")
    assert "This machine is ready" in lines[at - 2]
    assert lines[at + 1].startswith("minirun version ")
    assert lines[-2:] == ["student /home/student/minirun/.venv", first]
