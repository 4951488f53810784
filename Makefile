# minirun: every command there is.  `make demo` and `make test` set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
SITE = $(shell $(BIN)/python -c 'import site; print(site.getsitepackages()[0])')
PREFIX ?= /usr/local
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# Before a command that must be root's: say what to do where neither root nor sudo is at hand.  $(1): what for; $(2): the way out.
need_root = [ "$$(id -u)" = 0 ] || command -v sudo >/dev/null || { echo "minirun: $(1) needs root, and there is no sudo here: $(2)" >&2; exit 1; }
DEBS := python3 python3-venv python3-dev gcc libc6-dev linux-libc-dev libcap-dev libseccomp-dev make busybox-static procps
TEST_DEBS := apparmor checkpolicy iproute2 runc uidmap golang-github-containers-common clang clang-format libclang-rt-dev vagrant debootstrap \
  bats jq dpkg-dev strace chromium
# Who calls a runtime: the tests start daemons of their own, with all they write below a directory of theirs.
CALLER_DEBS := containerd podman catatonit netavark aardvark-dns buildah docker.io
# Who makes and keeps images and networks besides us: the tests go round trips with them.
IMAGE_DEBS := skopeo umoci docker-registry apache2-utils openssl mmdebstrap iperf3 passt slirp4netns containernetworking-plugins nftables iptables
LAB := $(BIN)/python rootfs/lab/lab.py

.PHONY: help setup demo demo-lab test test-host test-lab lab lab-setup lab-pin guest-kernel lint format bench conformance members install uninstall clean deb-setup fuzz

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/minirun ## packages of the distribution, .venv, native parts, .venv/bin/minirun

deb-setup:
	@rootfs/lab/provision.sh install $(DEBS)

$(VENV)/.stamp: pyproject.toml | deb-setup
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check "setuptools>=66" wheel "cffi>=1.15" "click>=8.1" "pyroute2>=0.7" "jeepney>=0.8" \
	  "urllib3>=2" "zstandard>=0.19" "rich>=13" \
	  "pytest>=7" "hypothesis>=6" "ruff>=0.4" "mypy>=1.8"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --use-pep517 "python-prctl>=1.8" \
	  || echo "minirun: python-prctl could not be built; supervisors will have no name of their own (minirun doctor says more)"
	@touch $@

# The package is installed for import; the command is our own short script (native/entry.py says why).
$(BIN)/minirun: $(VENV)/.stamp FORCE
	@$(BIN)/python native/build.py
	@[ -e $(SITE)/minirun.pth ] || echo "$(CURDIR)" > $(SITE)/minirun.pth
	@$(BIN)/python native/entry.py $@ "$(CURDIR)" "$(SITE)"
	@$(BIN)/python native/bundle.py > /dev/null

FORCE:

demo: setup ## what minirun does, in two minutes: step by step, from an image, in VMs, side by side
	@$(call need_root,the demo,run it as root; or see docs/tutorial.md for containers of an ordinary user)
	@$(SUDO) rootfs/demo.sh && $(SUDO) rootfs/demo-image.sh && $(SUDO) rootfs/demo-vm.sh

demo-lab: guest-kernel ## the same bundle as a container, in a sandbox, as a machine with Linux, in the lab VM: on any computer
	@$(SUDO) $(LAB) -- 'RUNS=$(or $(RUNS),2) rootfs/demo-vm.sh'

# What cannot be had is said; the tests that need it skip, and say why.
test-setup: setup
	@rootfs/lab/provision.sh install $(TEST_DEBS) || true
	@rootfs/lab/provision.sh idle $(CALLER_DEBS) $(IMAGE_DEBS) || true

test: test-host test-lab ## all tests (as root, or with sudo): here, then in the lab VM

test-host: test-setup lab-setup
	@$(call need_root,make test,run it as root; .venv/bin/python -m pytest runs what an ordinary user can)
	@$(SUDO) env MINIRUN_REQUIRE="$$MINIRUN_REQUIRE" $(BIN)/python -m pytest $(ARGS); code=$$?; \
	if [ $$code = 5 ]; then echo "0 passed, 1 failed"; echo "minirun: no test was run"; exit 1; fi; exit $$code

# QEMU and its kernel come from the distribution; where they cannot, the tests that need the lab are not run, and that is said.
lab-setup: setup
	@rootfs/lab/provision.sh packages || true

lab: lab-setup ## a root shell in the lab VM (pure cgroup v2, KVM); CMD='...' runs a command there instead
	@$(SUDO) $(LAB) $(if $(CMD),-- '$(subst ','\'',$(CMD))')

lab-pin: lab-setup ## pin the lab's kernel to the one that apt offers today
	@$(SUDO) $(LAB) --pin

guest-kernel: lab-setup ## Debian's kernel for micro-VMs, unpacked into .cache/guest; KERNEL=cloud for that flavour alone
	@$(BIN)/python rootfs/kernel/guest.py $(KERNEL)

test-lab: lab-setup ## the tests that need the lab VM
	@$(BIN)/python rootfs/kernel/guest.py >/dev/null || echo "minirun: no kernel for guests: what needs Linux in a machine will not be tested"
	@$(BIN)/python tests/bench/vm.py --build || true
	@$(SUDO) env MINIRUN_REQUIRE="$$MINIRUN_REQUIRE" tests/lab/run $(ARGS)

lint: test-setup ## ruff, mypy, clang-format, compiler warnings
	@$(BIN)/python -m pytest -q tests/house

format: setup ## let the formatters write
	@$(BIN)/ruff format minirun native tests rootfs
	@clang-format -i native/init/*.[ch] native/border/*.[ch] native/seccomp/*.c native/vm/*.[ch] native/measure/*.c native/fuzz/*.c tests/probe/*.[ch] tests/bench/*.c

bench: test-setup guest-kernel ## side by side with runc and crun, with qemu, with podman, a sandbox; writes docs/performance.md
	@$(SUDO) $(PYTHON) tests/bench/run.py --write docs/performance.md $(ARGS)
	@$(SUDO) $(BIN)/python tests/bench/vm.py --write docs/performance.md $(VM_ARGS)
	@$(SUDO) $(BIN)/python tests/bench/containers.py --write docs/performance.md $(CONTAINER_ARGS)
	@$(SUDO) $(BIN)/python tests/bench/images.py --write docs/performance.md $(IMAGE_ARGS)
	@$(SUDO) $(BIN)/python tests/bench/sandbox.py --write docs/performance.md $(SANDBOX_ARGS)

conformance: test-setup ## the suites of runc and crun against all three; writes docs/conformance.md
	@$(call need_root,the suites,run it as root)
	@$(SUDO) $(BIN)/python -m tests.conformance.run --write docs/conformance.md $(ARGS)

members: test-setup lab-setup ## every member of config.json under runc, crun and minirun, in the lab; writes docs/members.md
	@$(SUDO) $(BIN)/python -m tests.members.table $(ARGS)

fuzz: test-setup ## libFuzzer on the plan decoder and the virtqueues, one minute each
	@mkdir -p .cache/fuzz && $(BIN)/python native/build.py fuzz .cache/fuzz
	@$(BIN)/python native/fuzz/corpus.py .cache/fuzz/corpus && .cache/fuzz/fuzz-plan -max_total_time=60 .cache/fuzz/corpus
	@$(BIN)/python native/fuzz/queues.py .cache/fuzz/queues && .cache/fuzz/fuzz-queues -max_total_time=60 -max_len=4096 .cache/fuzz/queues

install: setup ## into PREFIX (/usr/local), with man pages and completions
	@if [ -w "$(PREFIX)" ] || mkdir -p "$(PREFIX)" 2>/dev/null && [ -w "$(PREFIX)" ]; then $(BIN)/python native/install.py "$(PREFIX)"; \
	else $(SUDO) $(BIN)/python native/install.py "$(PREFIX)"; fi

uninstall: ## take it away again
	@$(PYTHON) native/install.py --remove "$(PREFIX)"

clean: ## everything that was built
	rm -rf $(VENV) .cache .hypothesis .pytest_cache .mypy_cache .ruff_cache tests/bench/.mypy_cache rootfs/lab/.mypy_cache rootfs/kernel/.mypy_cache build dist *.egg-info minirun/minirun-init minirun/minirun-measure minirun/minirun-reaper minirun/*.so minirun/ladder
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
