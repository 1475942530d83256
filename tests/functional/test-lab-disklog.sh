#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The disk log checker finds what it is there for: damage, gaps, late writes of
# an earlier boot, lost synced blocks; and accepts a torn tail and a wrap.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || {
    echo "SKIP: no python3"
    exit 77
}

python3 - "$here/../lab/disklog" <<'PY'
import json
import struct
import subprocess
import sys
import tempfile
import zlib

failed = 0


def block(seq, boot):
    b = bytearray(struct.pack("<QQq40sII", 0x31474F4C4B534451, seq, seq * 1000,
                              boot.encode(), 0, 0).ljust(4096, b"x"))
    b[64:68] = struct.pack("<I", zlib.crc32(bytes(b)))
    return bytes(b)


def log(*boots, size=32):
    """boots: (id, number of blocks)...; returns a list of blocks."""
    disk, seq = [bytes(4096)] * size, 0
    for boot, count in boots:
        for _ in range(count):
            seq += 1
            disk[(seq - 1) % size] = block(seq, boot)
    return disk


def expect(what, disk, ok, *args, **fields):
    global failed
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"".join(disk))
        f.flush()
        done = subprocess.run([sys.argv[1], f.name, *args], text=True,
                              capture_output=True, check=False)
    result = json.loads(done.stdout)
    good = result["ok"] == ok and done.returncode == (0 if ok else 1) and \
        all(result[k] == v for k, v in fields.items())
    print("ok" if good else "FAIL", what, result.get("error", ""))
    failed += not good


def changed(disk, at, new):
    return disk[:at] + [new] + disk[at + 1:]


def damaged(b):
    return b[:2000] + b"?" + b[2001:]


two = log(("A", 10), ("B", 5))
expect("an empty disk", log(), True, blocks=0)
expect("two boots", two, True, blocks=15, last=15)
expect("a torn tail", changed(two, 14, damaged(two[14])), True, last=14,
       torn_tail=True)
expect("damage", changed(two, 5, damaged(two[5])), False)
expect("a hole", changed(two, 5, bytes(4096)), False)
expect("a hole at the start", changed(two, 0, bytes(4096)), False)
expect("a late write of boot A", changed(two, 12, block(13, "A")), False)
expect("a late write behind the end", changed(two, 20, block(21, "A")), False)
expect("an old block again", changed(two, 12, block(3, "A")), False)
expect("a lost synced block", two, False, "--min-seq", "16")
expect("all synced blocks", two, True, "--min-seq", "15")
wrapped = log(("A", 40), ("B", 10))
expect("a wrap", wrapped, True, first=19, last=50, blocks=32)
expect("damage after a wrap", changed(wrapped, 3, damaged(wrapped[3])), False)
expect("a torn block after a wrap", changed(wrapped, 18, damaged(wrapped[18])),
       True, last=50, torn_tail=True)
expect("an exactly full disk", log(("A", 32)), True, blocks=32)
sys.exit(1 if failed else 0)
PY
