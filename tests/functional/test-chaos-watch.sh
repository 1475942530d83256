#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# What the chaos run would say if it had to: consoles on which something went
# wrong, made up; two busy QEMUs. A seed has one story only. Its report.
set -euo pipefail
cd "$(dirname "$0")/../chaos"
python3 -B - <<'PY'
import collections
import os
import pathlib
import tempfile

import chaoslab
import plan
import tally
import watch

A, B = "a" * 36, "b" * 36


def tick(boot, n, disk, bad=0):
    return (f"TICK boot={boot} n={n} us=1 pass=1 bad={bad} dirty=0 "
            f"disk={disk}\n").encode()


def boot(id_):
    return f"BOOT boot={id_} fill=16 dirty=0\n".encode()


def console(*pieces):
    said = []
    c = watch.Console("vm", said.append)
    for i, piece in enumerate(pieces):
        c.feed(piece, float(i))
    return c, said


def expect(what, said, word):
    if word is None and said or word and not any(word in s for s in said):
        raise SystemExit(f"FAIL: {what}: {said}")


start = boot(A) + tick(A, 1, 1) + tick(A, 2, 2)
c, said = console(start, tick(A, 3, 3))
expect("all is well", said, None)
assert (c.n, c.synced, len(c.boots)) == (3, [3], 1), vars(c)
c, said = console(start, tick(A, 3, 3)[:70], tick(A, 3, 3)[70:])
expect("a line in two pieces", said, None)
assert c.n == 3
c, said = console(start, boot(B) + tick(B, 1, 3))
expect("a reboot", said, None)
assert [b for _, b in c.boots] == [A, B]
c, said = console(start, b"TICK boot=" + boot(B)[5:] + tick(B, 1, 3))
expect("a reboot, its first line torn", said, None)
assert [b for _, b in c.boots] == [A, B]
c, said = console(start, boot(B) + tick(B, 1, 3) + tick(A, 3, 3))
expect("an old copy after a reboot", said, "two copies")
c, said = console(start, boot(B) + boot(A))
expect("a boot that begins again", said, "began twice")
c, said = console(start, tick(A, 3, 1))
expect("a forgotten write", said, "forgotten")
c, said = console(start, boot(B) + tick(B, 1, 1))
expect("a write forgotten by a reboot", said, "forgotten")
c, said = console(start, tick(A, 3, 3, bad=1))
expect("damaged memory", said, "damaged")
c, said = console(start, b"CORRUPT page=1\n")
expect("damaged memory, told", said, "damaged")
c, said = console(start, b"DISKERR disk=vda seq=3 n=-1 errno=5\n")
expect("an error of the disk", said, "saw an error")

c, said = console(start, tick(A, 1, 2))
expect("restored once more", said, None)
assert len(c.repeats) == 1
assert watch.repeats_explained(c.repeats, True)
assert not watch.repeats_explained(c.repeats, False)
c, said = console(start, *(tick(A, n, 2) for n in (1, 3, 2, 4, 3)))
assert not watch.repeats_explained(c.repeats, True), c.repeats

overlap = watch.Overlap()
row = [overlap.sample("vm", {1: 0.02, 2: seconds})
       for seconds in (0.0, 0.02, 0.02, 0.0, 0.02, 0.02, 0.02, 0.02)]
assert row == [False] * 7 + [True], row

vms = ["live1", "quick1", "dir1"]
story = [str(plan.make_round(7, n, vms)) for n in range(1, 400)]
assert story == [str(plan.make_round(7, n, vms)) for n in range(1, 400)]
assert story != [str(plan.make_round(8, n, vms)) for n in range(1, 400)]
text = "\n".join(story)
for kind in [*plan.ACTIONS, *plan.DISTURBANCES]:
    assert f" {kind}" in text, kind

line = ("2026-11-28 19:07:04.823 VirtualMachine[797] n3 quick1: notice: "
        "migrate_to: record: SAVING -> SAVED, generation 1: the commit")
assert chaoslab.RECORD.match(line).groups() == \
    ("2026-11-28 19:07:04.823", "quick1", "SAVED")

path = pathlib.Path(tempfile.mkdtemp()) / "report.md"
path.write_text("# Title\n\nText.\n")
for seed, seconds in ((1, 3.4), (2, 9.0), (3, 5.0)):
    tally.add(path, tally.Run(
        seed, 10, 3, 5, collections.Counter(move=2), {"move": seconds}, 1,
        collections.Counter(), 0, 1.0, "" if seed < 3 else "round 5: no"))
rows = path.read_text().splitlines()
assert rows[:3] == ["# Title", "", "Text."], rows
assert [r[:4] for r in rows if tally.RUN_ROW.match(r)] == \
    ["| 1 ", "| 2 ", "| 3 "], rows
assert "| move | 6 | 9 s |" in rows, rows
assert sum(r.endswith("| none |") for r in rows) == 2, rows
path.unlink()
os.rmdir(path.parent)
PY
echo "ok"
