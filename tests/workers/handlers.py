"""Handlers that misbehave in every way the tests need. Imported in worker processes only."""

import atexit
import contextlib
import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time


def make_handler(setup):
    def handler(payload, report):
        return ACTIONS[payload["do"]](payload, report, setup)

    return handler


def with_torch(setup):
    import torch

    ACTIONS["threads"] = lambda *_: {"threads": torch.get_num_threads()}
    return make_handler(setup)


def broken_factory(setup):
    raise ValueError("no such corpus\nand a second line")


def dying_factory(setup):
    print("the factory's last words", file=sys.stderr)
    os._exit(7)


def tidy_factory(setup):
    atexit.register(open, setup["flag"], "w")
    return make_handler(setup)


def sleeping_factory(setup):
    time.sleep(600)


def dies_once_factory(setup):
    try:
        os.close(os.open(setup["flag"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return make_handler(setup)
    os._exit(1)


def echo(payload, report, setup):
    return {"payload": payload, "setup": setup, "pid": os.getpid()}


def environment(payload, report, setup):
    return {"omp": os.environ["OMP_NUM_THREADS"], "mkl": os.environ["MKL_NUM_THREADS"]}


def order_of_words(payload, report, setup):
    return {"words": list(set(payload["words"]))}


def raises(payload, report, setup):
    kinds = {kind.__name__: kind for kind in (ValueError, SystemExit, KeyboardInterrupt, GeneratorExit)}
    raise kinds[payload["kind"]](payload["message"])


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no message either")


def raises_unspeakable(payload, report, setup):
    raise UnspeakableError


def returns(payload, report, setup):
    return {"list": [], "set": {"a": {1}}, "nan": {"x": float("nan"), "y": float("inf")}}[payload["what"]]


def endless(payload, report, setup):
    nested = {}
    nested["self"] = nested
    return nested


def hang(payload, report, setup):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    report({"pid": os.getpid()})
    while True:
        try:
            time.sleep(600)
        except BaseException:
            continue


def family(payload, report, setup):
    """Hold the interpreter lock for ever, with one child in the group and one outside it."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    inside = subprocess.Popen(sleeper)
    outside = subprocess.Popen(sleeper, start_new_session=True)
    report({"pid": os.getpid(), "inside": inside.pid, "outside": outside.pid})
    if payload.get("locked"):
        ctypes.PyDLL(None).sleep(600)
    time.sleep(600)


def forks_and_dies(payload, report, setup):
    """Leave behind a fork that holds every descriptor open."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    report({"fork": pid})
    os.kill(os.getpid(), signal.SIGKILL)


def die(payload, report, setup):
    how = payload["how"]
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "terminate":
        print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr)
        print("  what():  std::bad_alloc", file=sys.stderr)
    if how in ("abort", "terminate"):
        os.abort()
    if how == "segfault":
        ctypes.string_at(0)
    print("last words", file=sys.stderr)
    os._exit(3)


def grow(payload, report, setup):
    held = []
    while True:
        held.append(bytearray(1 << 24))


def grow_wrapped(payload, report, setup):
    try:
        grow(payload, report, setup)
    except MemoryError:
        if payload["hide"]:
            raise LookupError("not found") from None
        raise LookupError("not found")  # noqa: B904


def grow_numpy(payload, report, setup):
    import numpy as np

    held = []
    while True:
        held.append(np.ones(1 << 21))


def grow_torch(payload, report, setup):
    import torch

    held = []
    while True:
        held.append(torch.ones(1 << 22))


def grow_shared(payload, report, setup):
    """Take shared memory, which no limit on private memory counts."""
    held = mmap.mmap(-1, 1 << 30)
    for start in range(0, 1 << 29, 1 << 20):
        held[start : start + (1 << 20)] = b"x" * (1 << 20)
    time.sleep(600)


def grow_locked(payload, report, setup):
    """Take memory in one native call after another, none of which lets another thread run."""
    libc = ctypes.PyDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    for _ in range(64):
        block = libc.malloc(1 << 25)
        if not block:
            raise MemoryError("malloc")
        libc.memset(block, 1, 1 << 25)
    return {}


def grow_at_once(payload, report, setup):
    """Ask for far more than the machine has, and touch all of it."""
    return {"bytes": len(bytearray(payload["bytes"]))}


def grow_in_children(payload, report, setup):
    """Have each of a few children take a share that none of them is too large with."""
    for _ in range(payload["children"]):
        if os.fork() == 0:
            held = b"x" * payload["each"]
            time.sleep(600)
            print(len(held))
    report({"pid": os.getpid()})
    time.sleep(600)


def forks_lightly(payload, report, setup):
    """Have children that hold what their parent holds, and nothing of their own."""
    held = b"x" * payload["bytes"]
    children = [os.fork() for _ in range(4) if os.getpid() == setup.setdefault("pid", os.getpid())]
    if 0 in children:
        time.sleep(1.0)
        os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    return {"held": len(held)}


def multiply(payload, report, setup):
    """Start processes that sleep, one after another, more than anyone needs."""
    pids = []
    for _ in range(200):
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
            os._exit(0)
        pids.append(pid)
        report({"pids": pids})
        time.sleep(0.005)
    time.sleep(600)


def chatter(payload, report, setup):
    """Print without end."""
    line = b"all work and no play\n" * 4000
    while True:
        os.write(1, line)


def once(payload, report, setup):
    """Say who does it; the first time wait for the end, the second time answer."""
    path = payload["path"]
    tries = os.path.getsize(path) if os.path.exists(path) else 0
    with open(path, "a") as file:
        file.write("x")
    report({"pid": os.getpid(), "try": tries + 1})
    if tries < payload["waits"]:
        time.sleep(600)
    return {"tries": tries + 1}


def hold(payload, report, setup):
    return {"bytes": len(bytearray(payload["bytes"]))}


def count(payload, report, setup):
    for step in range(payload["steps"]):
        report({"step": step})
    return {}


def report_set(payload, report, setup):
    report({"set": {1}})


def big(payload, report, setup):
    return {"length": len(payload["text"]), "text": payload["text"][::-1]}


def meet(payload, report, setup):
    """End only if another job runs at the same time: each side waits for the other's file."""
    open(payload["mine"], "w").close()
    while not os.path.exists(payload["theirs"]):
        time.sleep(0.005)
    return {}


def interrupted(payload, report, setup):
    os.kill(os.getpid(), signal.SIGINT)
    return {"fine": True}


def babble(payload, report, setup):
    """Write far more than a pipe holds to every ordinary stream, closed ones included."""
    os.write(1, b"\x00\x00\x00\x05hello" * 50_000)
    os.write(2, b"x" * 500_000)
    print("printed")
    sys.stdin.read()
    sys.stdout.close()
    sys.stderr = None
    return {"fine": True}


def vandalise(payload, report, setup):
    """Write to the protocol's own socket, or close it and go on."""
    # Its number is the coordinator's, which is high where that has much open.
    for descriptor in sorted(int(name) for name in os.listdir("/dev/fd") if int(name) > 2):
        with contextlib.suppress(OSError):
            if payload["close"]:
                os.close(descriptor)
            else:
                os.write(descriptor, b"\xff" * 64)
    time.sleep(600)


def late(payload, report, setup):
    """Leave a thread behind that goes on reporting."""

    def go_on():
        while True:
            report({"late": True})
            time.sleep(0.002)

    threading.Thread(target=go_on, daemon=True).start()
    return {}


def limits(payload, report, setup):
    with open("/proc/self/limits") as lines:
        line = next(line for line in lines if line.startswith("Max data size"))
    return {"soft": line.split()[3]}


ACTIONS = {name: thing for name, thing in list(globals().items()) if callable(thing)}


def coordinate(argv):
    """Be a coordinator of its own with jobs that never end; print their processes to stderr."""
    from madstar.workers import Job, WorkerPool

    folder, mode = argv
    target = "handlers:make_handler"
    actions = [{"do": "family", "locked": mode == "locked"}, {"do": "hang"}]
    try:
        with WorkerPool(target, 3, import_paths=[folder]) as pool:
            started = 0
            while True:
                while started < len(actions) and pool.idle:
                    pool.submit(Job(str(started), actions[started]))
                    started += 1
                pool.wait()
                seen = pool.progress()
                if len(seen) == len(actions):
                    print(
                        json.dumps([pid for item in seen.values() for pid in item.values()]), file=sys.stderr
                    )
                    sys.stderr.flush()
                    pool.wait()
                    while mode == "computing":
                        sum(range(1000))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    coordinate(sys.argv[1:])
