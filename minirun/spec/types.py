"""The shapes of config.json for type checkers; never imported at run time (``if TYPE_CHECKING``)."""

from __future__ import annotations

from typing import Literal, TypedDict


class User(TypedDict, total=False):
    uid: int
    gid: int
    umask: int
    additionalGids: list[int]


class ConsoleSize(TypedDict):
    height: int
    width: int


class Capabilities(TypedDict, total=False):
    bounding: list[str]
    effective: list[str]
    inheritable: list[str]
    permitted: list[str]
    ambient: list[str]


class Rlimit(TypedDict):
    type: str
    soft: int
    hard: int


class Scheduler(TypedDict, total=False):
    policy: str
    nice: int
    priority: int
    flags: list[str]
    runtime: int
    deadline: int
    period: int


IOPriority = TypedDict("IOPriority", {"class": str, "priority": int}, total=False)


class CPUAffinity(TypedDict, total=False):
    initial: str
    final: str


class Process(TypedDict, total=False):
    terminal: bool
    consoleSize: ConsoleSize
    user: User
    args: list[str]
    env: list[str]
    cwd: str
    capabilities: Capabilities
    rlimits: list[Rlimit]
    noNewPrivileges: bool
    apparmorProfile: str
    selinuxLabel: str
    oomScoreAdj: int
    scheduler: Scheduler
    ioPriority: IOPriority
    execCPUAffinity: CPUAffinity


class Root(TypedDict, total=False):
    path: str
    readonly: bool


class Mount(TypedDict, total=False):
    destination: str
    source: str
    type: str
    options: list[str]
    uidMappings: list[IdMapping]
    gidMappings: list[IdMapping]


class Hook(TypedDict, total=False):
    path: str
    args: list[str]
    env: list[str]
    timeout: int


class Hooks(TypedDict, total=False):
    prestart: list[Hook]
    createRuntime: list[Hook]
    createContainer: list[Hook]
    startContainer: list[Hook]
    poststart: list[Hook]
    poststop: list[Hook]


HookName = Literal["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


class Namespace(TypedDict, total=False):
    type: str
    path: str


class IdMapping(TypedDict):
    containerID: int
    hostID: int
    size: int


class TimeOffset(TypedDict, total=False):
    secs: int
    nanosecs: int


class Device(TypedDict, total=False):
    type: str
    path: str
    major: int
    minor: int
    fileMode: int
    uid: int
    gid: int


class DeviceRule(TypedDict, total=False):
    allow: bool
    type: str
    major: int
    minor: int
    access: str


class Memory(TypedDict, total=False):
    limit: int
    reservation: int
    swap: int
    checkBeforeUpdate: bool


class Cpu(TypedDict, total=False):
    shares: int
    quota: int
    burst: int
    period: int
    cpus: str
    mems: str
    idle: int


class Pids(TypedDict, total=False):
    limit: int


class Throttle(TypedDict):
    major: int
    minor: int
    rate: int


class WeightDevice(TypedDict, total=False):
    major: int
    minor: int
    weight: int


class BlockIO(TypedDict, total=False):
    weight: int
    weightDevice: list[WeightDevice]
    throttleReadBpsDevice: list[Throttle]
    throttleWriteBpsDevice: list[Throttle]
    throttleReadIOPSDevice: list[Throttle]
    throttleWriteIOPSDevice: list[Throttle]


class HugepageLimit(TypedDict):
    pageSize: str
    limit: int


class Rdma(TypedDict, total=False):
    hcaHandles: int
    hcaObjects: int


class Resources(TypedDict, total=False):
    devices: list[DeviceRule]
    memory: Memory
    cpu: Cpu
    pids: Pids
    blockIO: BlockIO
    hugepageLimits: list[HugepageLimit]
    rdma: dict[str, Rdma]
    unified: dict[str, str]


class SeccompArgument(TypedDict, total=False):
    index: int
    value: int
    valueTwo: int
    op: str


class SeccompRule(TypedDict, total=False):
    names: list[str]
    action: str
    errnoRet: int
    args: list[SeccompArgument]


class SeccompSection(TypedDict, total=False):
    defaultAction: str
    defaultErrnoRet: int
    architectures: list[str]
    flags: list[str]
    listenerPath: str
    listenerMetadata: str
    syscalls: list[SeccompRule]


class Personality(TypedDict, total=False):
    domain: str
    flags: list[str]


class MemoryPolicy(TypedDict, total=False):
    mode: str
    nodes: str
    flags: list[str]


class NetDevice(TypedDict, total=False):
    name: str


class IntelRdt(TypedDict, total=False):
    closID: str
    l3CacheSchema: str
    memBwSchema: str
    schemata: list[str]
    enableMonitoring: bool
    enableCMT: bool
    enableMBM: bool


class Linux(TypedDict, total=False):
    namespaces: list[Namespace]
    uidMappings: list[IdMapping]
    gidMappings: list[IdMapping]
    timeOffsets: dict[str, TimeOffset]
    devices: list[Device]
    cgroupsPath: str
    resources: Resources
    rootfsPropagation: str
    maskedPaths: list[str]
    readonlyPaths: list[str]
    mountLabel: str
    sysctl: dict[str, str]
    seccomp: SeccompSection
    personality: Personality
    memoryPolicy: MemoryPolicy
    netDevices: dict[str, NetDevice]
    intelRdt: IntelRdt


class VMKernel(TypedDict, total=False):
    path: str
    parameters: list[str]
    initrd: str


class VMHardware(TypedDict, total=False):
    vcpus: int
    memory: int


class VM(TypedDict, total=False):
    kernel: VMKernel
    hwConfig: VMHardware


class Spec(TypedDict, total=False):
    ociVersion: str
    process: Process
    root: Root
    hostname: str
    domainname: str
    mounts: list[Mount]
    hooks: Hooks
    annotations: dict[str, str]
    linux: Linux
    vm: VM
