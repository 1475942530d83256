#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
#
# The benchmark's arithmetic: medians, ratios, and bars that can be missed.
set -euo pipefail
QM_SRC=${QM_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}

PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$QM_SRC/tests/bench python3 - <<'PY'
import report

samples = {"m700_d0": {
    "virtualdomain_snapshot": [{"pause_ms": p, "ping_gap_ms": p + 10}
                               for p in (4000, 2000, 3000)],
    "virtualdomain_live": [{"pause_ms": 30, "ping_gap_ms": 100}],
    "quick": [{"pause_ms": 1500, "ping_gap_ms": 1510}],
    "live": [{"pause_ms": p, "ping_gap_ms": 90} for p in (40, 60)],
}, "m700_d0_1gbit": {
    "quick": [{"pause_ms": 6000, "image_bytes": 750e6, "ping_gap_ms": None}],
}}
moves = report.summarize_moves(samples)
assert moves["m700_d0"]["virtualdomain_snapshot"]["pause_ms"] == 3000
assert moves["m700_d0"]["live"]["pause_ms"] == 50
assert "ping_gap_ms" not in moves["m700_d0_1gbit"]["quick"]

result = {
    "move": moves,
    "monitor": {"quickmig": {"cpu_ms": 22}, "virtualdomain": {"cpu_ms": 200}},
    "failover": {"quickmig": {"start_ms": 400},
                 "virtualdomain": {"start_ms": 500}},
    "gate": {"4k:1": {"read": {"ratio": 0.9}, "write": {"ratio": 0.8}}},
    "stream": {"save_ratio": 0.7, "load_ratio": 0.69},
}
found = {name: (value, met) for name, value, _, met in report.bars(result)}


def check(name, value, met):
    assert found[name] == (value, met), (name, found[name])


check("m700_d0: live's ping gap, of VirtualDomain snapshot's", 0.03, True)
check("m700_d0: live's ping gap, of VirtualDomain live's", 0.9, True)
check("m700_d0: live's pause, idle, ms", 50, True)
check("m700_d0: quick's pause, of VirtualDomain snapshot's", 0.5, True)
# 2 x 750 MB over 125 MB/s are 12 s.
check("m700_d0_1gbit: quick's pause, of 2 x image / link", 0.5, True)
check("monitor's CPU, of VirtualDomain's", 0.11, False)
check("failover: fencing to QEMU, of VirtualDomain's", 0.8, True)
check("gate 4k:1 read, of QEMU's driver", 0.9, True)
check("gate 4k:1 write, of QEMU's driver", 0.8, False)
check("stream save_ratio", 0.7, True)
check("stream load_ratio", 0.69, False)
# What was not measured has no bar, met or not.
assert not any("1gbit: live" in name for name in found)
assert report.bars({}) == []
text = report.text(result)
assert "NO" in text and "m700_d0 quick" in text
PY
echo "ok"
