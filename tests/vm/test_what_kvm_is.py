"""What KVM is here, in code and in the words of ``minirun doctor`` and ``minirun vm``."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from minirun.errors import MinirunError
from minirun.linux import kvm
from minirun.vm import ladder, probe
from tests.conftest import MINIRUN, ROOT, run

CPUINFO = "processor\t: 0\nflags\t\t: fpu vme {}\nbugs\t\t: svm\n\nprocessor\t: 1\n"


def test_virtualization_is_a_flag_of_the_processor() -> None:
    assert probe.shown(CPUINFO.format("svm de"))
    assert probe.shown(CPUINFO.format("pse vmx"))
    assert not probe.shown(CPUINFO.format("svm_lock de"))
    assert not probe.shown("")


@pytest.mark.needs("kvm")
def test_real_or_emulated() -> None:
    """Both ways to know agree; a second look says the same."""
    found = probe.look(measure=True)
    assert found.kind == (probe.REAL if found.rate >= probe.SLOW else probe.EMULATED)
    assert found.error is None
    quick = probe.look()
    assert quick.kind == found.kind
    if found.kind == probe.REAL:
        probe.demand()
    else:
        with pytest.raises(MinirunError, match="cannot run Linux in a micro-VM here") as caught:
            probe.demand()
        assert "dev.minirun.vm.emulated=allow" in caught.value.hint
        probe.demand(emulated=True)
    if probe.shown(Path("/proc/cpuinfo").read_text()):
        assert (quick.kind, quick.rate) == (probe.REAL, 0.0)


def test_what_is_missing_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "DEVICE", "/dev/no-kvm")
    found = probe.look()
    assert (found.kind, found.rate) == ("", 0.0)
    assert found.error is not None
    with pytest.raises(MinirunError, match="cannot open /dev/no-kvm"):
        probe.demand(emulated=True)
    error = probe.explain(found.error)
    assert error.headline() == "cannot open /dev/no-kvm: No such file or directory"
    assert "modprobe kvm_intel" in error.hint
    monkeypatch.setattr(kvm, "DEVICE", "/dev/null")
    found = probe.look()
    assert found.error is not None
    assert (
        probe.explain(found.error).headline() == "cannot use KVM (KVM_GET_API_VERSION): Inappropriate ioctl for device"
    )
    assert "10:232" in probe.explain(found.error).hint


@pytest.mark.parametrize("number", probe.HINTS)
def test_every_lack_has_its_hint(number: int) -> None:
    error = probe.explain(OSError(number, os.strerror(number), "/dev/kvm"))
    assert error.headline() == f"cannot open /dev/kvm: {os.strerror(number)}"
    assert error.hint
    assert errno.errorcode[number] in {"ENOENT", "ENODEV", "EACCES", "EPERM", "EBUSY", "ENOTSUP", "ENOTTY"}


@pytest.mark.needs("root", "kvm")
def test_an_ordinary_user_hears_of_the_group() -> None:
    """/dev/kvm is root's, or the group's."""
    if Path("/dev/kvm").stat().st_mode & 0o006:
        pytest.skip("everybody may open /dev/kvm here")
    done = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", MINIRUN, "vm", "ladder", "hlt")
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == "minirun: cannot open /dev/kvm: Permission denied"
    assert "usermod -aG kvm" in done.stderr


@pytest.mark.needs("kvm")
def test_the_doctor_says_which_kind() -> None:
    found = {row["name"]: row for row in json.loads(run(MINIRUN, "doctor", "-f", "json").stdout)["findings"]}
    assert found["/dev/kvm"]["status"] == "ok"
    word = {"ok": "of hardware: ", "limited": "emulated: "}[found["KVM"]["status"]]
    assert found["KVM"]["found"].startswith(word)
    assert "million instructions a second" in found["KVM"]["found"]
    assert bool(found["KVM"]["hint"]) == (found["KVM"]["status"] == "limited")


@pytest.mark.needs("kvm")
def test_the_verb_climbs() -> None:
    done = run(MINIRUN, "vm", "ladder")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["ok", rung.name] for rung in ladder.RUNGS]
    found = json.loads(run(MINIRUN, "vm", "ladder", "--format", "json", "out", "long").stdout)
    assert [(row["name"], row["ok"], row["value"], row["output"]) for row in found] == [
        ("out", True, 42, "A"), ("long", True, 42, ""),
    ]  # fmt: skip


@pytest.mark.parametrize("rung", ladder.RUNGS, ids=lambda rung: rung.name)
def test_the_verb_explains(rung: ladder.Rung) -> None:
    """The source as it is in native/ladder, with what it includes; no KVM needed."""
    done = run(MINIRUN, "vm", "ladder", "--explain", rung.name)
    assert done.returncode == 0
    source = (ROOT / "native" / "ladder" / f"{rung.name}.S").read_text()
    assert source in done.stdout
    assert ("steps.inc:" in done.stdout) == ("#include" in source)
    assert f"  1000  {ladder.read(f'{rung.name}.bin')[:4].hex(' ')}" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason", "hint"),
    [
        (["vm", "climb"], "unknown word 'climb' after vm", "there is: run, ls, console, stop, ladder"),
        (["vm", "ladder", "moon"], "no rung 'moon' on the ladder", "there is: hlt, out"),
        (["vm", "ladder", "--explain", "moon"], "no rung 'moon' on the ladder", "there is: hlt, out"),
        (["vm", "ladder", "--format", "xml"], "--format must be table or json", ""),
    ],
)
def test_wrong_words(words: list[str], reason: str, hint: str) -> None:
    done = run(MINIRUN, *words)
    assert done.returncode == 2
    assert reason in done.stderr
    assert hint in done.stderr
