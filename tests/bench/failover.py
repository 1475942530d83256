# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""A node loses its power: when does its guest answer again, and which part of
the time is whose?
"""
import json
import time

from benchlab import BenchError, PingWatch, say, wait_until
from peers import IP, Quickmig, VirtualDomainLive

# As VirtualDomain is set up for a VM that moves live; no matter here.
PEERS = {"virtualdomain": VirtualDomainLive, "quickmig": Quickmig}


def coordinator(lab):
    out = lab.on("n3", "crmadmin", "-D", "-q", check=False) or \
        lab.on("n2", "crmadmin", "-D", "-q")
    return out.split()[-1]


def first_resume(lab, domain, dead, since):
    for when, node, name in lab.events(domain, since):
        if name == "RESUME" and node != dead:
            return when
    return None


def one_loss(peer, ping):
    lab, name = peer.lab, peer.name
    node = peer.node()
    lab.wait_ticks(name, 50)
    killed = time.time()
    lab.lab("kill", node)
    running = wait_until(90, f"{name} on another node",
                         lambda: first_resume(lab, name, node, killed), 0.1)
    answers = wait_until(90, f"an answer of {name}",
                         lambda: ping.first_reply(running), 0.1)
    asked = lab.fencing(node, "request", killed)
    fenced = lab.fencing(node, "done", killed)
    if asked is None or fenced is None or fenced > running:
        raise BenchError(f"{node} was not fenced before {name} ran: "
                         f"{asked} {fenced} {running}")
    lab.settle(node=next(n for n in lab.nodes if n != node))
    lab.lab("start", node)
    lab.prepare(node)
    lab.settle()
    return {"detect_ms": round((asked - killed) * 1000, 1),
            "fence_ms": round((fenced - asked) * 1000, 1),
            "start_ms": round((running - fenced) * 1000, 1),
            "boot_ms": round((answers - running) * 1000, 1),
            "total_ms": round((answers - killed) * 1000, 1)}


def measure(lab, rounds):
    samples = {}
    for key, kind in PEERS.items():
        peer = kind(lab, name=f"loss-{key}", memory=256)
        peer.define()
        # The death of the coordinator costs an election more: not with one
        # peer, and not with the other.
        lab.crm("configure", "location", f"ban-{peer.name}", peer.name,
                "-inf:", coordinator(lab))
        peer.start()
        ping = PingWatch(lab, IP)
        for _ in range(rounds):
            figures = one_loss(peer, ping)
            say(f"failover {key}: {json.dumps(figures)}")
            samples.setdefault(key, []).append(figures)
        ping.end()
        peer.remove()
    return samples
