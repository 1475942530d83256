# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""Standby of a node with many small VMs."""
import time

from benchlab import BenchError, say, wait_until
from move import guest_intact, pause_of
from peers import Quickmig

COUNT = 10
MEMORY = 96  # MiB


def elsewhere(lab, peers):
    return all(len(where) == 1 and where[0] != "n1"
               for where in (lab.locate(peer.name) for peer in peers))


def pause(lab, peer, began):
    events = lab.events(peer.name, began)
    for node in lab.nodes[1:]:
        stopped, resumed = pause_of(events, "n1", node)
        if stopped:
            return round((resumed - stopped) * 1000, 1)
    raise BenchError(f"no STOP and RESUME of {peer.name}: {events}")


def one_drain(lab, peers):
    boots = {}
    for peer in peers:
        boots[peer.name] = lab.last_tick(peer.name)["boot"]
        if peer.node() != "n1":
            raise BenchError(f"{peer.name} is not on n1")
    began = time.time()
    lab.crm("node", "standby", "n1")
    wait_until(300, "an empty n1", lambda: elsewhere(lab, peers), 1)
    lab.settle(300)
    ended = lab.idle_times(began)[-1]
    for peer in peers:
        lab.wait_ticks(peer.name, 5)
        guest_intact(lab, peer.name, boots[peer.name])
    return {"total_ms": round((ended - began) * 1000, 1),
            "pause_ms": sorted(pause(lab, peer, began) for peer in peers)}


def back(lab, peers):
    """They prefer n1, but less than to stay."""
    lab.crm("node", "online", "n1")
    lab.settle(300)
    lab.crm("configure", "rsc_defaults", "resource-stickiness=0")
    wait_until(300, "all on n1", lambda: all(
        lab.locate(peer.name) == ["n1"] for peer in peers), 1)
    lab.settle(300)
    lab.crm("configure", "rsc_defaults", "resource-stickiness=100")
    lab.settle(300)


def measure(lab, rounds):
    samples = []
    peers = [Quickmig(lab, name=f"small{i}", ip=None, memory=MEMORY, fill=8)
             for i in range(COUNT)]
    for peer in peers:
        peer.define()
        lab.crm("configure", "location", f"at-{peer.name}", peer.name,
                "50:", "n1")
    for peer in peers:
        lab.crm("resource", "start", peer.name)
    for peer in peers:
        peer.wait_ready()
    for i in range(rounds):
        if i > 0:
            back(lab, peers)
        samples.append(one_drain(lab, peers))
        say(f"drain: {samples[-1]}")
    lab.crm("node", "online", "n1")
    return samples
