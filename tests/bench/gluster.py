# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the quickmig authors
"""A directory that all nodes share, as VirtualDomain's snapshot= needs it: one
GlusterFS brick where the storage target is, mounted over the storage network.

Server and clients are run with volume files of our own, without glusterd. What
costs only when a volume is shared out (replicas, shards) is not there; what
makes one client faster is.
"""
from benchlab import BenchError, wait_until

ADDRESS, PORT = "10.78.0.254", 24100
MOUNT = "/srv/snapshots"

SERVER = """
volume posix
  type storage/posix
  option directory {brick}
end-volume
volume locks
  type features/locks
  subvolumes posix
end-volume
volume threads
  type performance/io-threads
  subvolumes locks
end-volume
volume /brick
  type debug/io-stats
  subvolumes threads
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.listen-port {port}
  option auth.addr./brick.allow *
  subvolumes /brick
end-volume
"""

CLIENT = """
volume client
  type protocol/client
  option transport-type tcp
  option remote-host {address}
  option remote-port {port}
  option remote-subvolume /brick
end-volume
volume write-behind
  type performance/write-behind
  subvolumes client
end-volume
volume read-ahead
  type performance/read-ahead
  subvolumes write-behind
end-volume
"""


def start(lab):
    """Mounted on every node, until the lab's end."""
    base = lab.dir / "gluster"
    brick = base / "brick"
    brick.mkdir(parents=True)
    (base / "server.vol").write_text(SERVER.format(brick=brick, port=PORT))
    (base / "client.vol").write_text(CLIENT.format(address=ADDRESS, port=PORT))
    lab.on("sw", "glusterfsd", "-f", str(base / "server.vol"),
           "-l", str(base / "server.log"))
    wait_until(20, "GlusterFS to listen", lambda: lab.on(
        "sw", "ss", "-Hltn", f"sport = :{PORT}"))
    for node in lab.nodes:
        mount(lab, base, node)


def mount(lab, base, node):
    lab.on(node, "mkdir", "-p", MOUNT)
    lab.on(node, "glusterfs", "-f", str(base / "client.vol"),
           "-l", str(base / f"{node}.log"), MOUNT)
    try:
        wait_until(20, f"{MOUNT} on {node}", lambda: lab.on(
            node, "findmnt", "-n", "-t", "fuse.glusterfs", MOUNT, check=False))
    except BenchError as error:
        log = (base / f"{node}.log").read_text(errors="replace")
        raise BenchError(f"{error}\n{log[-1000:]}") from None
