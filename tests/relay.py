"""A wire made of two TUN devices and a process between them, where the kernel has no netem: late, lossy, as slow as asked for.

    python tests/relay.py HUB SEED DELAY LOSS NAMESPACE=BITS ...

HUB and each NAMESPACE get a device at either end of a wire: `end0`, `end1`, ... in HUB, `end` in the other. A packet comes out
DELAY seconds after it has passed at BITS a second (0: at once), or never, with probability LOSS. Whoever sits behind a wire can
be reached by nobody: what would open a TCP connection towards it does not pass, as at an address translator.

On standard input `cut N` and `mend N` for the wire of that number, and `counts`, which is answered by a line of JSON. When it
ends the process ends, and the devices with it.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import sys
import time
from collections import Counter
from pathlib import Path

_NEW_NETWORK = 0x40000000
_SET_INTERFACE = 0x400454CA
_TUN_WITHOUT_HEADER = 0x1001
_BACKLOG = 1.0


class End:
    """One direction of a wire: what it reads it hands to `other`, late or never."""

    def __init__(self, source: int, drop: random.Random, bits: int, *, inward: bool) -> None:
        self.source = source
        self.other = source
        self.counts: Counter[str] = Counter()
        self.whole = True
        self._drop = drop
        self._bits = bits
        self._inward = inward
        self._free = 0.0

    def due(self, packet: bytes, delay: float, loss: float) -> float | None:
        """When a packet comes out; None if it never does."""
        now = time.monotonic()
        start = max(now, self._free)
        if not self.whole:
            return self._lost("cut")
        if self._inward and _opens(packet):
            return self._lost("inward")
        if self._drop.random() < loss:
            return self._lost("lost")
        if start - now > _BACKLOG:
            return self._lost("backlog")
        self.counts["passed"] += 1
        self._free = start + (8 * len(packet) / self._bits if self._bits else 0.0)
        return self._free + delay

    def _lost(self, why: str) -> None:
        self.counts[why] += 1


class Relay:
    """All wires to one hub."""

    def __init__(self, hub: str, wires: list[tuple[str, int]], *, seed: int, delay: float, loss: float) -> None:
        self._delay, self._loss = delay, loss
        self._wires: list[tuple[End, End]] = []
        drop = random.Random(seed)
        for number, (namespace, bits) in enumerate(wires):
            inward = End(_device(hub, f"end{number}"), drop, bits, inward=True)
            outward = End(_device(namespace, "end"), drop, bits, inward=False)
            inward.other, outward.other = outward.source, inward.source
            self._wires.append((inward, outward))

    def run(self) -> None:
        """Carry packets until standard input ends."""
        waiting: list[tuple[float, int, int, bytes]] = []
        taken = 0
        with selectors.DefaultSelector() as ready:
            for end in (each for wire in self._wires for each in wire):
                ready.register(end.source, selectors.EVENT_READ, end)
            ready.register(sys.stdin, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select(max(0.0, waiting[0][0] - time.monotonic()) if waiting else None):
                    if key.data is None:
                        if not self._told(sys.stdin.readline().split()):
                            return
                    elif (packet := _read(key.fd)) and (at := key.data.due(packet, self._delay, self._loss)):
                        taken += 1
                        heapq.heappush(waiting, (at, taken, key.data.other, packet))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, target, packet = heapq.heappop(waiting)
                    os.write(target, packet)

    def _told(self, words: list[str]) -> bool:
        match words:
            case ["counts"]:
                said = [dict(inward.counts + outward.counts) for inward, outward in self._wires]
                sys.stdout.write(json.dumps(said) + "\n")
                sys.stdout.flush()
            case ["cut" | "mend" as what, number]:
                for end in self._wires[int(number)]:
                    end.whole = what == "mend"
        return bool(words)


def _device(namespace: str, name: str) -> int:
    """A TUN device in a namespace, as what is written to one side and read from the other."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as own, (Path("/run/netns") / namespace).open() as there:
        if libc.setns(there.fileno(), _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
        libc.setns(own.fileno(), _NEW_NETWORK)
    return device


def _read(device: int) -> bytes:
    try:
        return os.read(device, 65_536)
    except BlockingIOError:
        return b""


def _opens(packet: bytes) -> bool:
    """Whether an IPv4 packet is the first of a TCP connection: SYN without ACK."""
    header = 4 * (packet[0] & 15)
    return packet[0] >> 4 == 4 and packet[9] == 6 and packet[header + 13] & 0x12 == 0x02


if __name__ == "__main__":
    named = [(name, int(bits)) for name, _, bits in (each.partition("=") for each in sys.argv[5:])]
    relay = Relay(sys.argv[1], named, seed=int(sys.argv[2]), delay=float(sys.argv[3]), loss=float(sys.argv[4]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    relay.run()
