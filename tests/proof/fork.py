#!/usr/bin/env python3
"""Checks the evidence of a fork: that one agent's key signed two histories which cannot both be true.

    fork.py EVIDENCE

EVIDENCE is the file that `sitewarden-hub flag evidence ID FILE` writes. Nothing in it has to be believed but the agent's
signing key, which the hub has had since the agent was enrolled (`agent show`). Needs Python's cryptography.

1. Each half is a batch: a header that the key signed (Ed25519 over "sitewarden/batch/1", a zero byte and the header's
   BLAKE3), and the records that it stands for.
2. A header names the agent, the epoch, the numbers of its first and last record, and the chain before and after them. The
   chain after a record is the BLAKE3, keyed with "sitewarden record chain, version", of the chain before it and the record.
3. Both halves lie in the same epoch of the same agent. There is a record up to which both have the same chain, or none,
   and a number at which they have different ones: that record exists twice.
"""

import base64
import json
import struct
import sys
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CHAIN_KEY = b"sitewarden record chain, version"
MASK = 0xFFFFFFFF
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT, KEYED = 1, 2, 4, 8, 16


def compress(chaining, block, counter, length, flags):
    v = list(chaining) + list(IV[:4]) + [counter & MASK, counter >> 32 & MASK, length, flags]
    m = list(struct.unpack("<16I", block.ljust(64, b"\0")))

    def g(a, b, c, d, x, y):
        for word, (r1, r2) in ((x, (16, 12)), (y, (8, 7))):
            v[a] = v[a] + v[b] + word & MASK
            v[d] ^= v[a]
            v[d] = (v[d] >> r1 | v[d] << 32 - r1) & MASK
            v[c] = v[c] + v[d] & MASK
            v[b] ^= v[c]
            v[b] = (v[b] >> r2 | v[b] << 32 - r2) & MASK

    for _ in range(7):
        for i in range(4):
            g(i, 4 + i, 8 + i, 12 + i, m[2 * i], m[2 * i + 1])
        for i in range(4):
            g(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[8 + 2 * i], m[9 + 2 * i])
        m = [m[i] for i in ORDER]
    return [v[i] ^ v[i + 8] for i in range(8)]


def blake3(data, key=None):
    """32 bytes, as in the BLAKE3 paper, without its parallelism."""
    words, mode = (struct.unpack("<8I", key), KEYED) if key else (IV, 0)

    def chunk(part, counter, root):
        chaining, blocks = words, [part[i : i + 64] for i in range(0, len(part), 64)] or [b""]
        for at, block in enumerate(blocks):
            flags = mode | (CHUNK_START if at == 0 else 0)
            if at == len(blocks) - 1:
                flags |= CHUNK_END | root
            chaining = compress(chaining, block, counter, len(block), flags)
        return chaining

    def tree(part, counter, root):
        if len(part) <= 1024:
            return chunk(part, counter, root)
        left = 1024
        while left * 2 < len(part):
            left *= 2
        halves = tree(part[:left], counter, 0) + tree(part[left:], counter + left // 1024, 0)
        return compress(words, struct.pack("<16I", *halves), 0, 64, mode | PARENT | root)

    return struct.pack("<8I", *tree(data, 0, ROOT))


def require(holds, what):
    if not holds:
        raise ValueError(what)


class Header:
    """A batch's header, in bincode's encoding with variable integers."""

    def __init__(self, data):
        self.data, self.at = data, 0
        self.agent = str(uuid.UUID(bytes=self.take(16)))
        self.epoch, self.first, self.last = self.number(), self.number(), self.number()
        self.prev, self.head = self.take(32), self.take(32)

    def take(self, length):
        self.at += length
        require(self.at <= len(self.data), "a header is cut")
        return self.data[self.at - length : self.at]

    def number(self):
        first = self.take(1)[0]
        return first if first < 251 else int.from_bytes(self.take({251: 2, 252: 4, 253: 8}[first]), "little")


def chains(half, key):
    """The header, and the chain after each record of one half that the key signed."""
    raw = base64.b64decode(half["header"])
    key.verify(base64.b64decode(half["signature"]), b"sitewarden/batch/1\0" + blake3(raw))
    header = Header(raw)
    records = [base64.b64decode(record) for record in half["records"]]
    require(len(records) == header.last - header.first + 1, "a half has another number of records than was signed")
    chain = {header.first - 1: header.prev}
    for number, record in enumerate(records, header.first):
        chain[number] = blake3(chain[number - 1] + record, CHAIN_KEY)
    require(chain[header.last] == header.head, "a half's records are not those that were signed")
    return header, chain


def verify(evidence):
    """The epoch and the number of the first record that exists twice. Raises an exception unless there is one."""
    require(blake3(b"").hex().startswith("af1349b9f5f9a1a6"), "this BLAKE3 is broken")
    require(evidence["format"] == "sitewarden-fork-1", "not the evidence of a fork")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(evidence["signing_key"]))
    fork, forked = chains(evidence["fork"], key)
    stored = {}
    for half in evidence["stored"]:
        header, chain = chains(half, key)
        require((header.agent, header.epoch) == (fork.agent, fork.epoch), "the halves are of different epochs or agents")
        stored.update(chain)
    require(fork.agent == evidence["agent"], "the halves are of another agent")
    twice = [number for number in sorted(forked) if number in stored and forked[number] != stored[number]]
    require(twice, "the two histories do not contradict each other")
    return fork.epoch, twice[0]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        found = json.load(file)
    epoch, number = verify(found)
    print(f"agent {found['agent']} signed two histories of epoch {epoch}: record {number} exists twice")
