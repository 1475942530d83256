/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copyright (C) 2026 the quickmig authors */
/*
 * The target, and how a LUN is taken: src/lib/reservation.c, steps as in
 * doc/protocol.md.  Keys are not modelled as numbers: "the key that I observed
 * is still the holder's" is the bit seen[], which every change of holder
 * clears.  "me" is the node that acts.
 */

/* What became of something. */
#define YES     1
#define REFUSED 2 /* no right, or the table says no */
#define RACED   3 /* somebody was faster */
#define LOST    4 /* the session broke */
#define AWAY    5 /* no path */

/* A write by node w reaches disk l. */
inline land(l, w)
{
    printf("          a write of n%d reaches disk %d\n", w, l);
    /* Invariant 3. */
    assert(taken[l] == w);
    for (k : 1 .. nodes) {
        if
        :: k != w ->
            assert(dom[k] != RUNS || rec_owner != k);
            fresh[k] = (fresh[k] == 2 -> 2 : 0)
        :: else
        fi
    }
    im_fresh = 0;
    unflushed[l] = 1
}

/* The record changes. */
inline store(s, o, b, t, g, i, f)
{
    if
    :: s == SAVED && rec_state == SAVING -> committed = 1
    :: s == RUNNING && rec_state == RESTORING -> committed = 0
    :: else
    fi;
    rec_state = s;
    rec_owner = (s == OFF || s == SAVED -> 0 : o);
    rec_boot = (s == OFF || s == SAVED -> 0 : b);
    rec_target = t;
    rec_gen = g;
    rec_image = i;
    rec_failed = f;
    /* A proof that an owner is gone is never older than the record. */
    if
    :: rec_owner != 0 && fenced[rec_owner] == 2 ->
        fenced[rec_owner] = (member[rec_owner] && STEP(FENCED_SINCE) -> 0 : 1)
    :: else
    fi;
    c_code {
        if (readtrail)
            model_say_record(now.rec_state, now.rec_owner, now.rec_target,
                             now.rec_gen, now.rec_image);
    }
}

inline forget_pending()
{
    late[VAULT] = 0;
    barred[VAULT] = 0;
    p_last = 0;
    p_state = 0;
    p_owner = 0;
    p_boot = 0;
    p_target = 0;
    p_gen = 0;
    p_image = 0;
    p_failed = 0
}

/* What waits in the target for LUN l is carried out. */
inline carry_out_late(l)
{
    printf("          a late write of n%d is carried out, LUN %d\n",
           late[l], l);
    assert(!barred[l]); /* Invariant 3. */
    if
    :: l != VAULT ->
        land(l, late[l]);
        late[l] = 0
    :: l == VAULT && p_last ->
        if
        :: im_id == p_image -> im_last = 1
        :: else
        fi;
        forget_pending()
    :: else ->
        assert(taken[VAULT] == late[VAULT]); /* Invariant 3. */
        assert(!(p_owner != 0 && stopped[p_owner])); /* a stop was final */
        store(p_state, p_owner, p_boot, p_target, p_gen, p_image, p_failed);
        forget_pending()
    fi
}

inline leave_lun(l, n)
{
    ses[AT(l, n)] = NO;
    seen[AT(l, n)] = 0
}

/* The holder changes: what anybody else observed is no longer so. */
inline holder_changes(l, n)
{
    hold[l] = n;
    for (k : 1 .. nodes) {
        if
        :: k != n -> seen[AT(l, k)] = 0
        :: else
        fi
    }
    k = 0
}

/* Steps 1 and 2: log in, register, observe the holder.  With LIO a node that
 * comes back finds its registration, and with a new key its reservation. */
inline log_in(l)
{
    printf("n%d        logs in to LUN %d, observes holder n%d\n", me, l,
           hold[l]);
    ses[AT(l, me)] = REGISTERED;
    seen[AT(l, me)] = 1;
    if
    :: lio && hold[l] == me ->
        ses[AT(l, me)] = HOLDER;
        holder_changes(l, me)
    :: else
    fi
}

/* Step 4: RESERVE or PREEMPT, a compare and swap. */
inline swap(l)
{
    if
    :: ses[AT(l, me)] == NO -> got = LOST
    :: ses[AT(l, me)] == HOLDER -> got = YES
    :: ses[AT(l, me)] == REGISTERED && !seen[AT(l, me)] && STEP(COMPARE) ->
        leave_lun(l, me);
        got = RACED
    :: else ->
        printf("n%d        preempts n%d on LUN %d\n", me, hold[l], l);
        if
        :: hold[l] != 0 && ses[AT(l, hold[l])] == HOLDER ->
            leave_lun(l, hold[l])
        :: else
        fi;
        ses[AT(l, me)] = HOLDER;
        holder_changes(l, me);
        got = YES
    fi
}

/* Step 5: LUN RESET, which answers when nothing older is left; with LIO,
 * PREEMPT AND ABORT does that, too.  Another gate that has the LUN is told,
 * and fences itself. */
inline reset(l)
{
    if
    :: ses[AT(l, me)] == NO -> got = LOST
    :: else ->
        printf("n%d        LUN RESET of LUN %d\n", me, l);
        if
        :: late[l] != 0 -> carry_out_late(l)
        :: else
        fi;
        for (k : 1 .. nodes) {
            if
            :: k != me && l != VAULT && OWNS(gate[AT(l, k)]) &&
               ses[AT(l, k)] != NO ->
                assert(UNOWNED || rec_owner != k || rec_boot != boot[k] ||
                       rec_gen != gate_gen[k]); /* Invariant 6. */
                gate[AT(l, k)] = G_FENCED
            :: else
            fi
        }
    fi
}

/* Step 6: verify, remove other registrants. */
inline verify(l)
{
    if
    :: ses[AT(l, me)] != HOLDER && STEP(VERIFY) ->
        leave_lun(l, me);
        got = RACED
    :: else ->
        printf("n%d        has LUN %d\n", me, l);
        seen[AT(l, me)] = 0;
        for (k : 1 .. nodes) {
            if
            :: k != me && ses[AT(l, k)] != NO && STEP(OTHERS_OUT) &&
               ses[AT(l, me)] == HOLDER ->
                leave_lun(l, k)
            :: else
            fi
        }
        if
        :: ses[AT(l, me)] == HOLDER ->
            taken[l] = me;
            barred[l] = (late[l] != 0)
        :: else
        fi
    fi
}

