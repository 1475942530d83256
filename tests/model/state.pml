/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * What there is: nodes, the record, the image, LUNs and their reservations;
 * and the ghosts, which no part of the protocol may read: they only say what
 * must hold.  Node 0 is nobody, LUN 0 the vault.
 */

#define NODES 4 /* array sizes */
#define LUNS  3
#define VAULT 0
#define AT(lun, node) ((lun) * NODES + (node))

/* Chosen when the verifier starts; not part of a state. */
hidden byte nodes;   /* 2 or 3 */
hidden byte disks;   /* 1 or 2 */
hidden byte lio;     /* 1: registrations outlive the login, as LIO has them */
hidden byte without; /* the safety step that is left out; 0: none */
hidden byte also;    /* another one */
hidden byte asks;    /* bits 1 << action of what is asked for; 0: of all */
hidden byte ending;  /* 1: check that all can be started at the end */
#define STEP(name) (without != name && also != name)

/* --- what may still go wrong, and what Pacemaker may still ask ----------- */

byte actions;  /* of Pacemaker, of any kind */
byte crashes;  /* of a node, or of a QEMU */
byte reboots;
byte kills;    /* of an action or worker, anywhere: timeouts */
byte lates;    /* writes that a target carries out after their session */
byte drops;    /* sessions that break */
byte restarts; /* of the target, which forgets all reservations */
byte cuts;     /* nodes that lose their path to the storage */
byte splits;   /* nodes that the others do not hear any more */
byte lies;     /* fencings that report success and did nothing */
byte fails;    /* saves that fail, or are cancelled, before the commit */
byte bads;     /* restores in which QEMU does not take the image */

/* --- the vault's record; values as in record.h --------------------------- */

#define OFF       0
#define RUNNING   1
#define SAVING    2
#define SAVED     3
#define RESTORING 4

byte rec_state, rec_owner, rec_boot, rec_target, rec_gen, rec_image, rec_failed;

#define UNOWNED  (rec_state == OFF || rec_state == SAVED)
#define MINE     (!UNOWNED && rec_owner == me && rec_boot == boot[me])
#define OTHERS   (!UNOWNED && rec_owner != me)

/* The image: of which id, has it its last chunk. */
byte im_id;
bit im_last;
/* Without READ_AGAIN: what was read before the vault was taken. */
byte read_state[NODES], read_owner[NODES];

#define WHOLE (im_last && im_id == rec_image)

/* --- LUNs and sessions --------------------------------------------------- */

#define NO         0
#define REGISTERED 1
#define HOLDER     2

byte hold[LUNS];          /* whose key the reservation shows; 0: none */
byte ses[LUNS * NODES];   /* a node's session: NO also if it was preempted */
bit seen[LUNS * NODES];   /* the holder that it observed is still the one */
byte late[LUNS];          /* whose write waits in the target; 0: none */
bit unflushed[LUNS];      /* written, acknowledged, in a volatile cache */

/* The write that waits for the vault: a record, or an image's last chunk. */
bit p_last;
byte p_state, p_owner, p_boot, p_target, p_gen, p_image, p_failed;

/* --- nodes --------------------------------------------------------------- */

#define NONE   0
#define RUNS   1
#define PAUSED 2 /* by a save: its memory may go on */
#define LOADED 3 /* from the image, not yet resumed */

bit up[NODES];
bit member[NODES];  /* as the others see it */
bit cut[NODES];     /* no path to the storage */
byte boot[NODES];
byte fenced[NODES]; /* 2: reported since the record's last write; 1: before */
byte released[NODES]; /* attribute: the generation that it let go */
byte dom[NODES];
byte loaded[NODES]; /* image id of what is LOADED, or was */

/* In /run: a reboot takes them away. */
bit marker[NODES]; /* an action is under way, or was cut off */
byte tomb[NODES];  /* image id of the last stop */
byte note[NODES];  /* NO_NOTE, UNKNOWN, or the generation it runs, + 2 */
#define NO_NOTE 0
#define UNKNOWN 1

/* The VM's lock on a node, and what waits for it. */
#define FREE   0
#define AGENT  1
#define WORKER 2
byte lock[NODES];
byte cmd[NODES], cmd_target[NODES];
byte res[NODES];   /* of the last action, for the end */
byte hint[NODES];  /* image id that quickmigd was told of; 0: none */
bit kill_agent[NODES], kill_worker[NODES];
byte want[NODES], want_image[NODES]; /* an action wants the vault */
byte answer[NODES];
byte busy[LUNS * NODES]; /* what a nexus is at */

#define START  1
#define STOP   2
#define TO     3 /* migrate_to */
#define FROM   4 /* migrate_from */
#define LOOK   5 /* monitor, probe */

#define DONE   1
#define FAILED 2

/* Gates, one a disk: states.c has more of them, to the same effect. */
#define G_NONE    0 /* none, or standby: nothing is written */
#define G_ACQUIRE 1
#define G_HOLD    2 /* holds the LUN; writes wait (HOLDING, DRAINED) */
#define G_OPEN    3
#define G_RE_HOLD 4 /* session lost; HOLD afterwards */
#define G_RE_OPEN 5
#define G_FENCED  6
byte gate[LUNS * NODES];
byte gate_gen[NODES];
#define RECONNECTING(g) (g == G_RE_HOLD || g == G_RE_OPEN)
#define OWNS(g)         (g == G_HOLD || g == G_OPEN)

/* --- ghosts -------------------------------------------------------------- */

byte fresh[NODES]; /* 1: nobody else wrote since this domain's CPUs stopped;
                      2: they never ran, it knows nothing of its disks */
bit im_fresh;      /* the same for the image */
byte im_failures;  /* of restores that were the image's fault */
bit committed;     /* SAVED was written; nobody runs from it yet */
bit no_memory;     /* a fault, or an ordered power-off, took the memory */
byte taken[LUNS];  /* who was last to complete acquire */
bit barred[LUNS];  /* somebody completed it after the waiting write was sent */
bit stopped[NODES]; /* stop succeeded; nothing was asked of it since */
bit lied;          /* a fencing was reported that did not happen */
bit last_phase;    /* no more faults: now it must be possible to start */

/* --- the table of src/lib/lifecycle.c ------------------------------------ */

c_decl {
#include "glue.h"
};

/* Events and actions, as in lifecycle.h. */
#define EV_START          0
#define EV_STOP           1
#define EV_PROBE          2
#define EV_MOVE           3
#define EV_COMMIT         4
#define EV_ROLLBACK       5
#define EV_LOADED         6
#define EV_RESUMED        7
#define EV_RESTORE_FAILED 8
#define EV_POWERED_OFF    9
#define EV_DISCARD        10

#define DO_NONE          0
#define DO_REFUSE        1
#define DO_AGAIN         2
#define DO_COLD_BOOT     3
#define DO_RESTORE       4
#define DO_RESUME        5
#define DO_OPEN_GATES    6
#define DO_TAKE_DISKS    7
#define DO_SAVE          8
#define DO_POWER_DOWN    9
#define DO_DESTROY       10
#define DO_DESTROY_FIRST 11

/* A question and its answer, within one d_step. */
hidden byte q_node, q_event, q_state, q_owner, q_domain, q_image, q_restore;
hidden byte a_to, a_action, a_takes, a_new_image, a_writes;
hidden byte n_owner, n_boot, n_target, n_gen, n_image, n_failed;
hidden byte k; /* counts, within one d_step */

/* Is that node surely gone?  cluster-gone.c. */
#define SURELY_GONE(o) \
    (fenced[o] == 2 || (fenced[o] == 1 && \
        (!member[o] || !STEP(FENCED_SINCE))) || \
     (released[o] != 0 && \
        (released[o] == rec_gen || !STEP(RELEASED_WHICH))) || \
     (member[o] && boot[o] > rec_boot) || !STEP(INTERLOCK))

/* Whose is it, as node me sees it?  qm_owner. */
#define OWNER_SEEN \
    (UNOWNED -> 1 : \
    (rec_owner != me -> (SURELY_GONE(rec_owner) -> 8 : 16) : \
    (rec_boot == boot[me] -> 2 : 4)))

/* The one question: what does the table say to this event, now, on node me? */
inline decide(event)
{
    q_node = me;
    q_event = event;
    q_state = (read_owner[me] != 0 -> read_state[me] : rec_state);
    q_owner = (read_owner[me] != 0 -> read_owner[me] : OWNER_SEEN);
    read_state[me] = 0;
    read_owner[me] = 0;
    q_domain = (dom[me] == NONE -> 1 : (dom[me] == RUNS -> 2 : 4));
    q_image = (event == EV_LOADED || event == EV_RESTORE_FAILED ->
        (loaded[me] == rec_image || !STEP(WHICH_IMAGE) -> 2 : 1) :
        (rec_state == SAVING && WHOLE -> 2 : 1));
    q_restore = (rec_failed < 2 -> 1 : 2);
    c_code {
        const model_decision *d = model_decide(q_state, q_event, q_owner,
                                               q_domain, q_image, q_restore);
        a_to = d->to;
        a_action = d->action;
        a_takes = d->takes;
        a_new_image = d->new_image;
        a_writes = d->writes;
        if (readtrail)
            model_say_decision(q_node, q_event, d);
    };
    if
    :: !STEP(IMAGE_ID) -> a_new_image = 0
    :: !STEP(RESTORING_STATE) && event == EV_LOADED && a_to == RESTORING ->
        a_to = RUNNING
    :: else
    fi
}
