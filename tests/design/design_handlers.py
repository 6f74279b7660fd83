"""Workers that answer at once, truly confined, and candidates that misbehave. Imported in workers only.

What is proposed stands in a file that MADSTAR_TEST_POOL names: candidates as JSON, so that no worker has to
load torch. A candidate whose key is named in MADSTAR_TEST_HOSTILE does what is said there when trained.
"""

import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from madstar.design.confinement import confine
from madstar.design.limits import Limits


def make_handler(setup):
    limits = Limits.of(setup["limits"])
    pool = json.loads(Path(os.environ["MADSTAR_TEST_POOL"]).read_text())
    hostile = json.loads(os.environ.get("MADSTAR_TEST_HOSTILE", "{}"))
    held = confine(limits, [Path(setup["work"])])

    def handler(payload, report):
        work = Path(payload["work"])
        work.mkdir(parents=True, exist_ok=True)
        do = payload["do"]
        if do in hostile:
            ACTIONS[hostile[do]](work, limits)
        if do == "hold":
            return {"held": held.to_dict()}
        if do in ("generator", "predictor"):
            (work / do).mkdir()
            (work / do / "model.json").write_text(json.dumps([do, payload["seed"]]))
            return {"hash": "0" * 16, "measured": len(payload.get("measured", ()))}
        if do == "corpus":
            (work / "corpus.json").write_text("[]")
            return {"blocks": 0}
        if do in ("genomes", "graphs"):
            return proposals(pool, payload, do)
        if do == "train":
            return trained(payload, work, limits, hostile)
        return {"values": {"test_bits_per_byte": score(payload) + 0.1}, "errors": {}}

    return handler


def proposals(pool, payload, do):
    fresh = [each for each in pool[do] if each["key"] not in payload["known"]]
    free, rest = fresh[: payload["free"]], fresh[payload["free"] :][: payload["pool"]]
    if payload["predictor"]:
        for each in (*free, *rest):
            said = fake(each["key"]) + 0.2 * fake(each["key"] + "noise")
            each["prediction"] = {
                "value": said, "low": said - 1, "high": said + 1, "deviation": 0.1, "model": "m",
            }  # fmt: skip
    return {"free": free, "pool": rest, "counts": {"drawn": len(free) + len(rest)}}


def fake(key):
    """A score that only depends on the architecture."""
    return 1 + int(hashlib.sha256(key.encode()).hexdigest()[:6], 16) / 2**24


def score(payload):
    return fake(payload["candidate"]["key"])


def trained(payload, work, limits, hostile):
    time.sleep(float(os.environ.get("MADSTAR_TEST_SECONDS", "0")))
    deed = hostile.get(payload["candidate"]["key"])
    if deed is not None:
        answer = ACTIONS[deed](work, limits)
        if answer is not None:
            return answer
    (work / "weights.safetensors").write_bytes(b"weights of " + payload["candidate"]["key"].encode())
    return {"values": {"bits_per_byte": score(payload)}, "errors": {}, "steps": 1, "tokens": 1}


def opens_a_socket(work, limits):
    socket.create_connection(("192.0.2.1", 80), 2)


def opens_a_socket_in_c(work, limits):
    libc = ctypes.CDLL(None, use_errno=True)
    opened = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    address = b"\x02\x00\x00\x50\xc0\x00\x02\x01" + bytes(8)
    if libc.connect(opened, address, 16) == 0:
        return None
    raise OSError(ctypes.get_errno(), "the kernel refused to connect")


def writes_outside(work, limits):
    (work.parent.parent / "log.jsonl").write_text("nothing happened\n")


def writes_outside_in_c(work, limits):
    libc = ctypes.CDLL(None, use_errno=True)
    target = os.fsencode(work.parent.parent / "log.jsonl")
    if libc.open(target, os.O_WRONLY | os.O_TRUNC) >= 0:
        return None
    raise OSError(ctypes.get_errno(), "the kernel refused to open")


def writes_too_much(work, limits):
    for number in range(10_000):
        with open(work / f"{number}.bin", "wb") as file:
            file.write(bytes(2**20))
        time.sleep(0.005)


def writes_one_large_file(work, limits):
    with open(work / "large.bin", "wb") as file:
        file.write(bytes(limits.disk + 2**20))


def forks(work, limits):
    os.fork()


def forks_in_c(work, limits):
    """A fork that Python does not see. The children are too many, and sleep."""
    libc = ctypes.CDLL(None)
    for _ in range(limits.processes * 2):
        if libc.fork() == 0:
            libc.sleep(600)
            os._exit(0)
    time.sleep(600)


def starts_a_program(work, limits):
    subprocess.run([sys.executable, "-c", "print(1)"], check=True)


def takes_memory(work, limits):
    taken = []
    while True:
        taken.append(bytearray(8 * 2**20))


def maps_memory(work, limits):
    """Shared memory is not counted by the limit of the kernel, but by who looks on."""
    taken = mmap.mmap(-1, 4 * limits.memory)
    for place in range(0, len(taken), mmap.PAGESIZE):
        taken[place] = 1
    time.sleep(600)


def raises_its_limits(work, limits):
    import resource

    with contextlib.suppress(Exception):
        object.__setattr__(limits, "memory", 10**15)
    for which in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        resource.setrlimit(which, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    takes_memory(work, limits)


def sleeps_for_ever(work, limits):
    time.sleep(10_000)


def spins_for_ever(work, limits):
    while True:
        pass


def kills_the_loop(work, limits):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.kill(os.getppid(), 9) == 0:
        time.sleep(600)
    raise OSError(ctypes.get_errno(), "the kernel refused to signal")


def dies(work, limits):
    os._exit(3)


def answers_nonsense(work, limits):
    return {"values": {"bits_per_byte": "very good"}, "errors": [], "steps": "many"}


def answers_nan(work, limits):
    return {"values": {"bits_per_byte": float("nan")}, "errors": {}, "steps": 1, "tokens": 1}


def leaves_a_link(work, limits):
    (work / "weights.safetensors").symlink_to(work.parent.parent / "log.jsonl")
    return {"values": {"bits_per_byte": 0.001}, "errors": {}, "steps": 1, "tokens": 1}


ACTIONS = {
    function.__name__: function
    for function in (
        opens_a_socket, opens_a_socket_in_c, writes_outside, writes_outside_in_c, writes_too_much,
        writes_one_large_file, forks, forks_in_c, starts_a_program, takes_memory, maps_memory,
        raises_its_limits, sleeps_for_ever, spins_for_ever, kills_the_loop, dies, answers_nonsense,
        answers_nan, leaves_a_link,
    )
}  # fmt: skip
