#!/usr/bin/env python3
"""A bad line between two networks: a router in user space with faults that are set while it runs.

Always true: it runs in network namespaces of its own (begin it with `unshare --user --map-root-user --net`), so that nothing
outside is touched. The plant is the namespace that it is started in, the vendor the one that it makes and stays in. Every
packet of either direction goes through `Line.send`, chance is seeded, and each order on standard input is answered with
one line.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import struct
import subprocess
import sys
import time

PLANT, VENDOR, ROUTER = "10.77.0.2", "10.77.1.2", "10.77.0.1"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
ICMP, TCP, UDP = 1, 6, 17
DONT_FRAGMENT = 0x4000
# A line holds so much before it drops what comes; as a cheap router does.
MAX_WAITING = 2000
# Where each transport keeps its checksum.
CHECKSUMS = {TCP: 16, UDP: 6}


def address(text):
    return bytes(int(part) for part in text.split("."))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def adjusted(old, before, after):
    """A checksum in which some of what was summed up is replaced (RFC 1624)."""
    total = ~old & 0xFFFF
    for was, is_now in zip(struct.unpack("!2H", before), struct.unpack("!2H", after)):
        total += (~was & 0xFFFF) + is_now
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def end(name, own, other):
    device = tun(name)
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{own}/24", "dev", name)
    ip("link", "set", name, "up")
    ip("route", "add", other, "dev", name)
    return device


class Line:
    """What happens to packets. Rates are from 0 to 1, times in milliseconds."""

    FAULTS = {
        "loss": 0.0,
        "duplicate": 0.0,
        "reorder": 0.0,
        "delay": 0.0,
        "jitter": 0.0,
        "mtu": 1500,
        "tell_mtu": False,
        "cut": False,
        "block_udp": False,
        "plant_address": PLANT,
    }

    def __init__(self, seed, plant, vendor):
        self.chance = random.Random(seed)
        self.plant, self.vendor = plant, vendor
        self.waiting, self.number, self.counted = [], 0, {}
        self.order({})

    def order(self, faults):
        unknown = set(faults) - set(self.FAULTS)
        if unknown:
            raise ValueError(f"no such fault: {unknown}")
        self.__dict__.update({**self.FAULTS, **faults})

    def count(self, what):
        self.counted[what] = self.counted.get(what, 0) + 1

    def send(self, packet, to):
        if packet[0] >> 4 != 4:
            return
        protocol = packet[9]
        if self.cut or (self.block_udp and protocol == UDP):
            return self.count("blocked")
        if len(packet) > self.mtu:
            self.count("too_large")
            return self.too_large(packet, to)
        if self.chance.random() < self.loss:
            return self.count("lost")
        packet = self.translated(packet, to)
        self.later(packet, to)
        if self.chance.random() < self.duplicate:
            self.count("duplicated")
            self.later(packet, to)

    def later(self, packet, to):
        if len(self.waiting) >= MAX_WAITING:
            return self.count("overflown")
        wait = self.delay + self.chance.uniform(0, self.jitter)
        if self.chance.random() < self.reorder:
            self.count("reordered")
            wait += 30
        self.count("passed")
        self.number += 1
        heapq.heappush(self.waiting, (time.monotonic() + wait / 1000, self.number, to, packet))

    def translated(self, packet, to):
        """The plant as the vendor sees it: behind an address that may change."""
        outside = address(self.plant_address)
        if to == self.vendor:
            return self.replaced(packet, 12, outside)
        # What comes to an address that is not the plant's any more leads nowhere.
        return self.replaced(packet, 16, address(PLANT)) if packet[16:20] == outside else packet

    @staticmethod
    def replaced(packet, at, new):
        old, packet = packet[at : at + 4], bytearray(packet)
        packet[at : at + 4] = new
        struct.pack_into("!H", packet, 10, adjusted(struct.unpack_from("!H", packet, 10)[0], old, new))
        where = CHECKSUMS.get(packet[9])
        if where is not None and struct.unpack_from("!H", packet, 6)[0] & 0x1FFF == 0:
            where += (packet[0] & 15) * 4
            found = struct.unpack_from("!H", packet, where)[0]
            if packet[9] == TCP or found:
                struct.pack_into("!H", packet, where, adjusted(found, old, new))
        return bytes(packet)

    def too_large(self, packet, to):
        """Tells the sender, if this line is one that does."""
        if not self.tell_mtu or not struct.unpack_from("!H", packet, 6)[0] & DONT_FRAGMENT:
            return
        body = struct.pack("!BBHHH", 3, 4, 0, 0, self.mtu) + packet[:28]
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, ICMP, 0, address(ROUTER), packet[12:16])
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        self.write(self.plant if to == self.vendor else self.vendor, head + body)

    def due(self):
        """Delivers what is due; how long until the next, in seconds."""
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(self.waiting)
            self.write(to, packet)
        return max(0.0, self.waiting[0][0] - time.monotonic()) if self.waiting else None

    def write(self, to, packet):
        try:
            os.write(to, packet)
        except OSError:
            self.count("not_taken")


def main():
    plant = end("plant0", PLANT, "10.77.1.0/24")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    vendor = end("vendor0", VENDOR, "10.77.0.0/24")
    line = Line(int(sys.argv[1]), plant, vendor)
    others = {plant: vendor, vendor: plant}
    waiting = selectors.DefaultSelector()
    for source in (plant, vendor, 0):
        waiting.register(source, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select(line.due()):
            if key.fd == 0:
                order = sys.stdin.readline()
                if not order:
                    return
                line.order(json.loads(order))
                print(json.dumps(line.counted), flush=True)
                continue
            try:
                for _ in range(64):
                    line.send(os.read(key.fd, 65536), others[key.fd])
            except BlockingIOError:
                pass


main()
