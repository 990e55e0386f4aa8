"""What the platform takes of the machine: CPU, memory, files of each of its processes, room on the disk, GPUs."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemill.telemetry.watch import Labels

Figures = dict[str, dict[Labels, float]]


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the platform; `cpu_seconds` since its start, `open_files` with its sockets."""

    name: str
    pid: int
    cpu_seconds: float
    resident_bytes: int
    open_files: int
    threads: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as NVML shows it; `utilization` from 0 to 1, None where the driver does not say."""

    index: int
    name: str
    utilization: float | None
    memory_used: int
    memory_size: int


def read_processes(names: Mapping[int, str], root: int | None = None) -> Sequence[Process]:
    """The own process (or `root`, which it belongs to) and all below it.

    `names` says what the known ones are; others are called by their program.
    """
    import psutil  # noqa: PLC0415  (only when it is asked)

    found: list[Process] = []
    own = psutil.Process(root)
    for each in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.Error), each.oneshot():  # one that ended meanwhile
            cpu = each.cpu_times()
            name = "server" if each.pid == own.pid else names.get(each.pid) or _role_of(each.cmdline(), each.name())
            files, threads = _count_files(each), each.num_threads()
            found.append(Process(name, each.pid, cpu.user + cpu.system, each.memory_info().rss, files, threads))
    return found


def _role_of(command: Sequence[str], program: str) -> str:
    text = " ".join(command)
    if "tidemill.telemetry.engine.child" in text:
        return "span-store"
    if "tidemill.workers" in text:
        return "keeper" if '"number":0' in text else "worker"
    return "local-model" if "tidemill.models" in text else program


def _count_files(process: Any) -> int:
    return int(process.num_fds()) if hasattr(process, "num_fds") else len(process.open_files())


def read_gpus() -> Sequence[Gpu]:
    """The GPUs; none where NVML is not installed (`pip install nvidia-ml-py`), or there is no driver."""
    try:
        import pynvml as nvml  # noqa: PLC0415  (of an extra)  # pyright: ignore[reportMissingImports, reportMissingModuleSource]
    except ImportError:
        return []
    library: Any = nvml
    try:
        library.nvmlInit()
    except library.NVMLError:
        return []
    try:
        return [_gpu(library, index) for index in range(library.nvmlDeviceGetCount())]
    except library.NVMLError:
        return []
    finally:
        library.nvmlShutdown()


def _gpu(library: Any, index: int) -> Gpu:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    name, memory = library.nvmlDeviceGetName(handle), library.nvmlDeviceGetMemoryInfo(handle)
    try:
        utilization = library.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    except library.NVMLError:  # a part of a GPU does not say
        utilization = None
    return Gpu(index, name.decode() if isinstance(name, bytes) else name, utilization, memory.used, memory.total)


def read_machine(data: Path, names: Mapping[int, str], root: int | None = None) -> Figures:
    """All of it, by metric. It takes some milliseconds a process: call it on a thread. `root` as in `read_processes`."""
    found: Figures = {}
    for each in read_processes(names, root):
        labels = (each.name, str(each.pid))
        found.setdefault("tidemill_process_cpu_seconds", {})[labels] = each.cpu_seconds
        found.setdefault("tidemill_process_resident_bytes", {})[labels] = each.resident_bytes
        found.setdefault("tidemill_process_open_files", {})[labels] = each.open_files
        found.setdefault("tidemill_process_threads", {})[labels] = each.threads
    gpus = read_gpus()
    found["tidemill_gpus"] = {(): len(gpus)}
    for each in gpus:
        labels = (str(each.index), each.name)
        if each.utilization is not None:
            found.setdefault("tidemill_gpu_utilization_ratio", {})[labels] = each.utilization
        found.setdefault("tidemill_gpu_memory_used_bytes", {})[labels] = each.memory_used
        found.setdefault("tidemill_gpu_memory_size_bytes", {})[labels] = each.memory_size
    disk = shutil.disk_usage(data)
    found["tidemill_disk_free_bytes"] = {(): disk.free}
    found["tidemill_disk_size_bytes"] = {(): disk.total}
    return found
