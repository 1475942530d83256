# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""What happens in a chaos run: pure, from the seed alone.

A round is what happens between two times at which the cluster is at rest: an
action that an administrator might ask for, disturbances at random times, or
both. Whatever breaks something says for how long. Nodes are named by what they
are at the round's beginning: "host" runs the round's VM, "x" and "y" are the
others in the order of their names, so that the same seed has the same story
even where a VM took refuge on another node than last time.
"""
import dataclasses
import random




@dataclasses.dataclass
class Step:
    at: int  # ms since the round's beginning
    kind: str
    args: dict

    def __str__(self):
        words = " ".join(f"{k}={v}" for k, v in self.args.items())
        return f"+{self.at} ms {self.kind} {words}".rstrip()


@dataclasses.dataclass
class Round:
    number: int
    vm: str
    steps: list

    def disturbed(self):
        return any(step.kind in DISTURBANCES for step in self.steps)

    def __str__(self):
        return f"round {self.number} ({self.vm}): " + "; ".join(
            str(step) for step in self.steps)


# --- what can be asked for: name -> (weight, help, arguments)

def span(rng, low, high):
    """Milliseconds; short ones as likely as long ones."""
    return round(low * (high / low) ** rng.random(), -1 if low >= 100 else 0)


def ms(rng, low, high):
    return int(span(rng, low, high))


def other(rng):
    return rng.choice(("x", "y"))


def anywhere(rng):
    # Where the VM is, more often than not.
    return rng.choice(("host", "host", "host", "to", "to", "x", "y"))


ACTIONS = {
    "move": (6, "crm_resource --move", lambda r: {
        "to": other(r)}),
    "quick-move": (4, "quickmig move: copied ahead", lambda r: {
        "to": other(r)}),
    "cancel": (2, "quickmig move, then quickmig cancel", lambda r: {
        "to": other(r), "after": ms(r, 100, 4000)}),
    "two-moves": (2, "a move, and another one before it has ended",
                  lambda r: {"to": other(r), "after": ms(r, 100, 4000)}),
    "clear": (1, "a move whose constraint is withdrawn at once", lambda r: {
        "to": other(r), "after": ms(r, 50, 3000)}),
    "all-move": (3, "every VM at once", lambda r: {"to": other(r)}),
    "standby": (3, "a node goes to standby and comes back", lambda r: {
        "node": anywhere(r), "for": ms(r, 500, 8000)}),
    "drain": (2, "quickmig drain, then undrain", lambda r: {
        "node": anywhere(r)}),
    "stop-start": (4, "stop (saves), then start", lambda r: {
        "for": ms(r, 200, 8000)}),
    "restart": (1, "crm_resource --restart", lambda r: {}),
    "leave": (2, "Pacemaker stopped in good order, and started", lambda r: {
        "node": anywhere(r), "for": ms(r, 300, 3000)}),
    "guest-off": (1, "the guest shuts itself down", lambda r: {}),
    "refresh": (1, "crm_resource --refresh of everything", lambda r: {}),
}

DISTURBANCES = {
    "kill-agent": (6, "an agent's action", lambda r: {
        "node": anywhere(r), "after": ms(r, 10, 1000)}),
    "freeze-agent": (2, "an agent's action stands still", lambda r: {
        "node": anywhere(r), "after": ms(r, 10, 1000),
        "for": ms(r, 200, 6000)}),
    "kill-daemon": (3, "quickmigd", lambda r: {"node": anywhere(r)}),
    "freeze-daemon": (1, "quickmigd stands still", lambda r: {
        "node": anywhere(r), "for": ms(r, 200, 8000)}),
    "kill-worker": (4, "quickmigd's process for one move", lambda r: {
        "node": anywhere(r), "after": ms(r, 10, 2000)}),
    "kill-gate": (4, "one of the VM's gates, where it runs", lambda r: {}),
    "kill-qemu": (3, "the VM's QEMU", lambda r: {}),
    "freeze-qemu": (2, "the VM's QEMU stands still", lambda r: {
        "for": ms(r, 100, 4000)}),
    "kill-libvirtd": (3, "libvirtd, started again after a while",
                      lambda r: {"node": anywhere(r),
                                 "for": ms(r, 200, 6000)}),
    "freeze-libvirtd": (2, "libvirtd stands still", lambda r: {
        "node": anywhere(r), "for": ms(r, 200, 8000)}),
    "kill-pacemaker": (2, "one of Pacemaker's daemons", lambda r: {
        "node": anywhere(r),
        "what": r.choice(("execd", "controld", "attrd", "based",
                          "schedulerd", "fenced"))}),
    "kill-corosync": (1, "corosync", lambda r: {"node": anywhere(r)}),
    "kill-node": (5, "power loss", lambda r: {"node": anywhere(r)}),
    "kill-others": (1, "power loss of two nodes: the third has no quorum",
                    lambda r: {"node": anywhere(r), "for": ms(r, 500, 8000)}),
    "power-cut": (1, "power loss of all nodes", lambda r: {
        "for": ms(r, 500, 5000)}),
    "reboot-node": (2, "fenced by an administrator", lambda r: {
        "node": anywhere(r)}),
    "freeze-node": (3, "all processes of a node stand still", lambda r: {
        "node": anywhere(r), "for": ms(r, 200, 8000)}),
    "cut-cluster": (4, "the cluster network of a node, in, out or both",
                    lambda r: {"node": anywhere(r),
                               "way": r.choice(("both", "both", "in", "out")),
                               "for": ms(r, 200, 8000)}),
    "cut-storage": (5, "the storage network of a node, in, out or both",
                    lambda r: {"node": anywhere(r),
                               "way": r.choice(("both", "both", "in", "out")),
                               "for": ms(r, 200, 12000)}),
    "cut-all": (1, "both networks of a node", lambda r: {
        "node": anywhere(r), "way": "both", "for": ms(r, 200, 8000)}),
    "slow-storage": (3, "a slow link to the storage", lambda r: {
        "node": anywhere(r), "mbit": r.choice((20, 50, 100, 200)),
        "for": ms(r, 1000, 10000)}),
    "restart-target": (3, "the target, which forgets all reservations",
                       lambda r: {}),
    "freeze-target": (2, "the target stands still", lambda r: {
        "for": ms(r, 200, 8000)}),
    "slow-fencing": (1, "fencing takes a while", lambda r: {
        "seconds": r.choice((2, 5)), "for": 8000}),
    "no-fencing": (1, "fencing fails for a while", lambda r: {
        "for": ms(r, 2000, 15000)}),
}

# These take a node out of the cluster, or may: two at a time would leave one
# node without quorum, and prove only that it then does nothing.
LOSES_NODE = {"kill-corosync", "kill-node", "kill-others", "power-cut",
              "reboot-node", "freeze-node",
              "cut-cluster", "cut-all", "leave", "kill-pacemaker",
              "freeze-daemon"}


def choose(rng, table, without=()):
    names = [name for name in table if name not in without]
    name = rng.choices(names, [table[n][0] for n in names])[0]
    return name, table[name][2](rng)


def make_round(seed, number, vms):
    """Of one round: it does not depend on those before it."""
    rng = random.Random(f"{seed}/{number}")
    vm = rng.choice(vms)
    disturbances = rng.choices((0, 1, 2, 3), (20, 40, 30, 10))[0]
    steps = []
    if disturbances == 0 or rng.random() < 0.85:
        kind, args = choose(rng, ACTIONS)
        if args.get("node") == "to":
            args["node"] = "host"
        steps.append(Step(0, kind, args))
    for _ in range(disturbances):
        lost = any(s.kind in LOSES_NODE for s in steps)
        kind, args = choose(rng, DISTURBANCES, LOSES_NODE if lost else ())
        if args.get("node") == "to":  # where the action moves it
            args["node"] = steps[0].args.get("to", "x") if steps else "host"
        steps.append(Step(ms(rng, 10, 5000), kind, args))
        if kind in LOSES_NODE and rng.random() < 0.3:
            kind = rng.choice(("slow-fencing", "no-fencing"))
            steps.append(Step(0, kind, DISTURBANCES[kind][2](rng)))
    steps.sort(key=lambda s: s.at)
    return Round(number, vm, steps)
