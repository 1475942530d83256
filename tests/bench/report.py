# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""What the samples say: medians, ratios, a table, and which bars are met.

Everything here is computed from samples of one run; nothing is known before.
"""
import statistics

GBIT = 1e9 / 8  # bytes a second
MOVE_KEYS = ("pause_ms", "ping_gap_ms", "tick_gap_ms", "total_ms", "bytes",
             "image_bytes")
PEERS = ("virtualdomain_snapshot", "virtualdomain_live", "quick", "live")


def median_of(samples, key):
    values = [s[key] for s in samples if s.get(key) is not None]
    return round(statistics.median(values), 1) if values else None


def medians(samples, keys):
    found = {key: median_of(samples, key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def summarize_moves(samples):
    return {case: {peer: medians(rounds, MOVE_KEYS)
                   for peer, rounds in peers.items()}
            for case, peers in samples.items()}


def summarize_failover(samples):
    keys = ("detect_ms", "fence_ms", "start_ms", "boot_ms", "total_ms")
    return {peer: medians(rounds, keys) for peer, rounds in samples.items()}


def ratio(a, b):
    return round(a / b, 3) if a is not None and b else None


def get(tree, *path):
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return None
        tree = tree[key]
    return tree


# --- bars -------------------------------------------------------------------

def bar(name, value, limit, below=True):
    """(name, value, limit, met?); nothing when it was not measured."""
    if value is None or limit is None:
        return []
    return [(name, value, limit, value <= limit if below else value >= limit)]


def move_bars(moves):
    found = []
    for case, peers in moves.items():
        snapshot = get(peers, "virtualdomain_snapshot", "ping_gap_ms")
        live = get(peers, "live", "ping_gap_ms")
        found += bar(f"{case}: live's ping gap, of VirtualDomain snapshot's",
                     ratio(live, snapshot), 0.05)
        found += bar(f"{case}: live's ping gap, of VirtualDomain live's",
                     ratio(live, get(peers, "virtualdomain_live",
                                     "ping_gap_ms")), 1)
        if case.endswith("_d0"):
            found += bar(f"{case}: live's pause, idle, ms",
                         get(peers, "live", "pause_ms"), 50)
        found += bar(f"{case}: quick's pause, of VirtualDomain snapshot's",
                     ratio(get(peers, "quick", "pause_ms"),
                           get(peers, "virtualdomain_snapshot", "pause_ms")),
                     0.6)
        if case.endswith("_1gbit"):
            size = get(peers, "quick", "image_bytes")
            wire = 2 * size / GBIT * 1000 if size else None
            found += bar(f"{case}: quick's pause, of 2 x image / link",
                         ratio(get(peers, "quick", "pause_ms"), wire), 0.6)
    return found


def other_bars(result):
    found = bar("monitor's CPU, of VirtualDomain's",
                ratio(get(result, "monitor", "quickmig", "cpu_ms"),
                      get(result, "monitor", "virtualdomain", "cpu_ms")), 0.1)
    found += bar("failover: fencing to QEMU, of VirtualDomain's",
                 ratio(get(result, "failover", "quickmig", "start_ms"),
                       get(result, "failover", "virtualdomain", "start_ms")),
                 1)
    for case, ways in (result.get("gate") or {}).items():
        for way in ("read", "write"):
            found += bar(f"gate {case} {way}, of QEMU's driver",
                         get(ways, way, "ratio"), 0.85, below=False)
    for way in ("save_ratio", "load_ratio"):
        found += bar(f"stream {way}", get(result, "stream", way), 0.7,
                     below=False)
    return found


def bars(result):
    return move_bars(result.get("move") or {}) + other_bars(result)


# --- tables -----------------------------------------------------------------

def table(rows):
    widths = [max(len(str(row[i])) for row in rows)
              for i in range(len(rows[0]))]
    return "\n".join("  ".join(
        str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in rows)


def move_table(moves):
    rows = [("case, peer", "pause ms", "ping gap", "tick gap", "total ms",
             "MB", "pause ratio")]
    for case, peers in moves.items():
        base = get(peers, "virtualdomain_snapshot", "pause_ms")
        for peer in PEERS:
            if peer not in peers:
                continue
            m = peers[peer]
            share = ratio(m.get("pause_ms"), base)
            rows.append((f"{case} {peer}", m.get("pause_ms", "-"),
                         m.get("ping_gap_ms", "-"), m.get("tick_gap_ms", "-"),
                         m.get("total_ms", "-"),
                         round(m["bytes"] / 1e6) if m.get("bytes") else "-",
                         share if share is not None else "-"))
    return table(rows)


def failover_table(failover):
    keys = ("detect_ms", "fence_ms", "start_ms", "boot_ms", "total_ms")
    return table([("failover", *keys)] + [
        (peer, *(values.get(key, "-") for key in keys))
        for peer, values in failover.items()])


def text(result):
    parts = []
    if result.get("move"):
        parts.append(move_table(result["move"]))
    if result.get("failover"):
        parts.append(failover_table(result["failover"]))
    if result.get("drain"):
        pauses = result["drain"]["pause_ms"]
        parts.append(f"drain of {len(pauses)} VMs: "
                     f"{result['drain']['total_ms']} ms in all, pauses "
                     f"{pauses[0]} to {pauses[-1]} ms, median "
                     f"{statistics.median(pauses)}")
    found = bars(result)
    if found:
        parts.append(table([("bar", "value", "limit", "met")] + [
            (name, value, limit, "yes" if met else "NO")
            for name, value, limit, met in found]))
    return "\n\n".join(parts)
