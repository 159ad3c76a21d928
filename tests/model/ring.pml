/*
 * The ring's steps as common/sys/ring.c takes them, for one room and one partition: two rings (seat 0 writes, seat 1 takes over or
 * sits down in seat 0 again), one reader that starts, joins and walks while they write, lap and die at any step.
 * Holds as it is; each -D knob is a mistake that must fail (all.sh). Checked: after the reader noted its watermark no position
 * above it is passed over, unless a hole was told.
 * Not in here: bytes (a slot is a record), several rooms, wakes (the reader may walk whenever it likes).
 */
#ifndef K
#define K 4  /* records of the partition, 0..K-1 */
#endif
#ifndef RS
#define RS 2 /* slots of a ring */
#endif
#ifndef TAKE
#define TAKE 2 /* who goes on after seat 0 died: 1 a successor in seat 0, 2 seat 1 */
#endif
#ifndef READER
#define READER 0 /* 0 a seat that only reads; 1 the taker itself: it handles its own records before it appends them */
#endif

#define NONE 255
byte rec[4], head[2], tail[2], cur[2], stored;
bool meant[4];
bool interest, hole; /* of the reader: its interest; its seat's hole flag */
byte last, W;              /* reader: positions walked to and noted, each plus one */
bool joined, dying, dead, share1;
#define SLOT(r, p) ((r) * RS + (p) % RS)
#define BEHIND(r) (cur[r] != NONE && cur[r] < head[r])

inline note() { W = (stored > last -> stored : last) }

inline handle(x) {
    if
    :: x < last -> skip                       /* a repeat */
    :: else ->
        assert(!joined || x <= last || x <= W); /* nothing between last and x was owed */
        last = x + 1
    fi
}

/* the reader's own ring, when it is the taker, is ring 1 and is skipped */
inline walk() {
    r = 0;
    do
    :: r < 2 - READER ->
        h = head[r];
        do
        :: cur[r] < h ->
            x = rec[SLOT(r, cur[r])];         /* copy; then the looks, then use */
            lapped = tail[r] > cur[r];
            if
#ifndef NOHOLELOOK
            :: hole -> hole = 0; atomic { note() }
            :: !hole && lapped -> cur[r] = tail[r]
#ifdef LOOKFIRST
            :: !hole && !lapped -> x = rec[SLOT(r, cur[r])]; atomic { handle(x); cur[r]++ }
#else
            :: !hole && !lapped -> atomic { handle(x); cur[r]++ }
#endif
#else
            :: lapped -> cur[r] = tail[r]
            :: !lapped -> atomic { handle(x); cur[r]++ }
#endif
            fi
        :: else -> break
        od;
        r++
    :: else -> break
    od;
    if :: hole -> hole = 0; atomic { note() } :: else fi;
    x = 0; h = 0; lapped = 0; r = 0
}

inline append(w, o) {
    if
    :: head[w] - tail[w] == RS ->
#ifdef HOLELATE
        m = meant[SLOT(w, tail[w])] && cur[w] != NONE && cur[w] <= tail[w];
        tail[w]++;
        if :: m -> hole = 1 :: else fi;
#else
        if :: meant[SLOT(w, tail[w])] && cur[w] != NONE && cur[w] <= tail[w] -> hole = 1 :: else fi;
        tail[w]++;
#endif
        m = 0
    :: else
    fi;
#ifdef INTERESTFIRST
    m = interest;
#endif
    rec[SLOT(w, head[w])] = o;
    meant[SLOT(w, head[w])] = 0;
    head[w]++;
#ifndef INTERESTFIRST
    m = interest;
#endif
    meant[SLOT(w, head[w] - 1)] = m;
    stored = o + 1;
    m = 0
}

proctype A() {
    bool m;
    {
        do
        :: stored < K && !share1 -> append(0, stored)
        :: stored == K -> break
        od
    } unless { dying };
    dead = 1
}

proctype A2() { /* sits down in seat 0 */
    bool m; byte p;
#ifndef KEEPMEANT
    p = tail[0];
    do :: p < head[0] -> meant[SLOT(0, p)] = 1; p++ :: else -> break od;
#endif
    do
    :: stored < K -> append(0, stored)
    :: stored == K -> break
    od
}

proctype B() { /* takes the share into ring 1 */
    bool m;
    do
    :: share1 && stored < K -> append(1, stored)
    :: stored == K -> break
    od
}

/* A reader that sits down somewhere in between. */
inline start() {
#ifdef ATHEAD
    x = head[0]; cur[0] = x;
    if :: !READER -> x = head[1]; cur[1] = x :: READER fi;
#else
    x = tail[0]; cur[0] = x;
    if :: !READER -> x = tail[1]; cur[1] = x :: READER fi;
#endif
    x = 0
}

inline join() {
#ifdef BITLATE
    walk();
    interest = 1;
#else
    interest = 1;
    walk();
#endif
    atomic { note(); joined = 1 }
}

proctype R() {
    byte r, h, x; bool lapped, m, took;
    start();
    join();
    do
    :: BEHIND(0) || BEHIND(1) || hole -> walk()
#if READER
    :: share1 && !took && stored < K ->
#ifndef NOTAKEWALK
        walk();
#endif
        took = 1
    :: share1 && took && stored < K ->
        atomic { x = stored; handle(x) };
        append(1, stored);
        x = 0
#endif
    :: stored == K && !BEHIND(0) && !BEHIND(1) && !hole -> break
    od;
    assert(last == K || W == K)
}

proctype master() {
    if :: dying = 1 :: skip fi;
    if
    :: dying ->
        dead;
#if TAKE == 1
        run A2()
#else
        /* rule 4: all have walked it, or have a hole; the taker too */
#ifndef NORULE4
        if :: !BEHIND(0) -> skip :: BEHIND(0) -> hole = 1 fi;
#endif
        share1 = 1
#endif
    :: else
    fi
}

init {
    atomic {
        cur[0] = NONE; cur[1] = NONE;
        run A(); run R(); run master();
#if !READER
        run B()
#endif
    }
}
