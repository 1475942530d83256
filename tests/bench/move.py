# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""Planned moves: "crm resource move", and what the guest and the networks saw.
"""
import json
import time

import gluster
from benchlab import (BROKEN, BenchError, PingWatch, TickWatch, say,
                      wait_until)
from peers import IP, VirtualDomainSnapshot, all_peers

# name: (MiB touched, MiB/s rewritten, rate of every link)
CASES = {
    "m300_d0": (300, 0, None),
    "m300_d50": (300, 50, None),
    "m700_d0": (700, 0, None),
    "m700_d50": (700, 50, None),
    "m700_d0_1gbit": (700, 0, "1gbit"),
}
QUICK_CASES = ["m300_d50", "m700_d0", "m700_d0_1gbit"]
OTHER = {"n1": "n2", "n2": "n1", "n3": "n1"}


class Traffic:
    """Bytes that one move puts through storage or network."""

    def __init__(self, peer):
        self.peer, self.lab = peer, peer.lab
        self.before = self.lab.port_bytes(peer.net)

    def end(self):
        after = self.lab.port_bytes(self.peer.net)
        grown = {way: after[way] - self.before[way] for way in after}
        # The target is at the switch itself; what goes from node to node
        # passes two ports.
        return grown["in"] + (grown["out"] if self.peer.net == "storage"
                              else 0)


def pause_of(events, source, target):
    """Last STOP on the source to the RESUME on the target, seconds."""
    resumed = next((t for t, node, name in events
                    if node == target and name == "RESUME"), None)
    stops = [t for t, node, name in events
             if node == source and name == "STOP" and resumed and t < resumed]
    if not stops:
        return None, None
    return stops[-1], resumed


def wait_moved(lab, name, target, began):
    wait_until(180, f"{name} on {target}",
               lambda: lab.locate(name) == [target], pause=0.5)
    wait_until(60, "the cluster at rest", lambda: lab.idle_times(began))
    lab.settle()
    return lab.idle_times(began)[-1]


def guest_intact(lab, name, boot):
    tick = lab.last_tick(name)
    if tick["boot"] != boot:
        raise BenchError(f"{name} was booted anew")
    if tick["bad"] != "0":
        raise BenchError(f"memory of {name} is damaged: {tick}")


def one_move(peer, ping, options):
    lab, name = peer.lab, peer.name
    source = peer.node()
    target = OTHER[source]
    if not options.with_stall:
        lab.clean_pages(source, name)
    lab.wait_ticks(name, 50)
    boot = lab.last_tick(name)["boot"]
    ticks, traffic = TickWatch(lab.console(name)), Traffic(peer)
    try:
        began = time.time()
        lab.crm("resource", "move", name, target, "force")
        ended = wait_moved(lab, name, target, began)
        lab.wait_ticks(name, 20)
        until = time.time()
    finally:
        count = traffic.end()
        ticks.end()
    stopped, resumed = pause_of(lab.events(name, began), source, target)
    if stopped is None:
        raise BenchError(f"no STOP and RESUME of {name}: "
                         f"{lab.events(name, began)}")
    silence = ping.report(began, until)
    lab.crm("resource", "clear", name)
    lab.settle()
    guest_intact(lab, name, boot)
    figures = {
        "pause_ms": (resumed - stopped) * 1000,
        "ping_gap_ms": silence["longest_silence_ms"],
        # Where it began, after the guest's pause: negative: before.
        "ping_gap_at_ms": silence["since_ms"] - stopped * 1000,
        "tick_gap_ms": ticks.longest(began, until) * 1000,
        "total_ms": (ended - began) * 1000,
        "bytes": count,
        "ping_stall_ms": silence["own_stall_ms"],
    }
    if peer.key in ("quick", "live"):
        figures["image_bytes"] = image_bytes(lab, name)
    return {key: round(value, 1) for key, value in figures.items()
            if value is not None}


def image_bytes(lab, name):
    """Of the last saved state, from the vault's history."""
    history = json.loads(lab.on("n3", "quickmig", "history", "--json", name))
    sizes = [entry["bytes"] for entry in history["entries"]
             if entry.get("bytes")]
    return sizes[-1] if sizes else None


def limit(lab, rate):
    for node in lab.nodes:
        lab.lab("limit", node, rate, "all")


def rounds_of(peer, case, rounds, options, samples):
    rate = CASES[case][2]
    ping = PingWatch(peer.lab, IP)
    if rate:
        limit(peer.lab, rate)
    try:
        for _ in range(rounds):
            figures = one_move(peer, ping, options)
            say(f"{case} {peer.label}: {figures}")
            samples.setdefault(case, {}).setdefault(
                peer.key, []).append(figures)
    finally:
        if rate:
            limit(peer.lab, "none")
        ping.end()


def measure_case(lab, case, peers, rounds, options, samples, broken):
    """One that breaks takes nothing with it but the rest of its rounds."""
    fill, dirty, _ = CASES[case]
    for kind in peers:
        name = f"{kind.key}-{case}".replace("_", "-")
        peer = kind(lab, name=name, fill=fill, dirty=dirty)
        try:
            peer.define()
            peer.start()
            rounds_of(peer, case, rounds, options, samples)
        except BROKEN as error:
            broken.append(f"{case} {peer.label}: {error}")
            say(f"broken: {broken[-1]}")
        peer.remove()


def measure(lab, cases, rounds, options, broken):
    samples = {}
    peers = [p for p in all_peers()
             if options.peers is None or p.key in options.peers]
    try:
        if VirtualDomainSnapshot in peers:
            gluster.start(lab)
        if not options.with_stall:
            lab.open_sink()
        for case in cases:
            measure_case(lab, case, peers, rounds, options, samples, broken)
    except BROKEN as error:  # the lab is not as it was: no more
        broken.append(f"move: {error}")
    return samples
