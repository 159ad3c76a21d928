/* Inside the hot cache: the link and the readers (cache.c), what is kept (cache_keep.c), leases
 * (cache_lease.c), batches (cache_write.c), scripts and their arguments (cache_lua.c). */
#ifndef HG_WORKER_CACHE_PRIV_H
#define HG_WORKER_CACHE_PRIV_H

#include "worker/cache.h"
#include "worker/redis.h"

enum {
    HG_CACHE_BATCH_RECORDS = 500,
    HG_CACHE_BATCH_BYTES = 256 * 1024,
};

struct hg_cache_kept { /* a record that is not known to be written */
    struct hg_cache_kept *next;
    enum hg_cache_kind kind;
    int64_t offset;
    uint64_t lsn, hole; /* hole: what precedes it is whole only above this LSN; 0 is no hole */
    uint32_t key_n, value_n;
    char bytes[]; /* key with the prefix, value */
};

struct hg_cache_part {
    struct hg_cache *ca;
    uint32_t part;
    struct hg_cache_kept *first, **end;
    int64_t from, to; /* first..: what is missing in [from, to) had nothing to write */
    uint64_t before;  /* highest LSN below from; meaningless unless before_known */
    uint64_t highest; /* of all that was read */
    bool before_known, mine, flying, known; /* known: pos is as Redis has it */
    bool anew;                              /* its log began anew: pos counts no longer */
    bool dirty;                             /* on the list of those to be looked at */
    struct hg_cache_part *next_dirty;
    char lease[64];                  /* text of our lease while mine */
    struct hg_cachepos pos;          /* as last heard */
    bool pos_there;                  /* and readable */
    char pos_text[HG_CACHEPOS_TEXT]; /* as it stands there */
    struct hg_mono force_at;         /* 0: nobody was waited for yet */
    struct hg_mono retry_at;         /* after an error */
    struct hg_mono beyond;           /* 0, or since when pos lies beyond the end of the log */
    bool sent_hole, sent_anew;       /* of the batch under way: notes a hole, begins anew */
};

struct hg_cache_args { /* keys and arguments of one script, one after the other */
    struct hg_buf text;
    size_t *ends;
    struct hg_slice *argv;
    int n, cap;
};

struct hg_cache {
    struct hg_cache_spec spec;
    struct hg_redis *link;
    struct hg_timer tend, relink;
    struct hg_cache_part **parts; /* by part number; NULL: nothing to do with it */
    struct hg_cache_part *dirty;
    uint64_t kept_bytes;
    unsigned tending; /* scripts under way */
    bool up, ending;
    char owner[64];            /* no two workers ever share it */
    char *prefix;              /* without whitespace */
    struct hg_cache_args args; /* of the script that is put together */
};

extern struct hg_redis_script hg_cache_lua_tend, hg_cache_lua_write, hg_cache_lua_after;

/* args = begin(ca); add to args->text and end each argument, or HG_CACHE_ARG; then run, which
 * copies. */
struct hg_cache_args *hg_cache_args_begin(struct hg_cache *ca);
void hg_cache_args_end(struct hg_cache_args *args);
#define HG_CACHE_ARG(args, ...) (hg_buf_addf(&(args)->text, __VA_ARGS__), hg_cache_args_end(args))
int hg_cache_run(struct hg_cache *ca, struct hg_redis_script *script, int nkeys,
                 hg_redis_reply_fn fn, void *ctx) HG_MUST_CHECK;
void hg_cache_args_fini(struct hg_cache_args *args);

struct hg_cache_part *hg_cache_part_new(struct hg_cache *ca, uint32_t part, int64_t next,
                                        uint64_t before);
void hg_cache_part_free(struct hg_cache_part *p);
void hg_cache_part_forget(struct hg_cache_part *p); /* all that is kept */
void hg_cache_part_touch(struct hg_cache_part *p);  /* to be looked at at the end of the turn */
void hg_cache_part_set_mine(struct hg_cache_part *p, bool mine);
void hg_cache_part_advance(struct hg_cache_part *p, uint64_t next); /* all below next is written */
/* The one who writes is ahead of us. */
static inline bool hg_cache_part_is_behind(const struct hg_cache_part *p)
{
    return p->known && p->pos_there && !p->anew && p->pos.next > (uint64_t)p->to;
}

/* A look at all leases and positions: now, or at the latest after so long. */
void hg_cache_tend(struct hg_cache *ca);
void hg_cache_tend_within(struct hg_cache *ca, int64_t us);

void hg_cache_write_init(struct hg_cache *ca);
void hg_cache_write_fini(struct hg_cache *ca);
void hg_cache_write_up(struct hg_cache *ca);
void hg_cache_write_down(struct hg_cache *ca);
/* Counts an error reply; a warning at most now and then. */
void hg_cache_error(struct hg_cache *ca, const char *what, struct hg_slice text);
/* <prefix><kind><key>; a key may hold any byte. */
void hg_cache_key(const struct hg_cache *ca, const char *kind, struct hg_slice key,
                  struct hg_buf *out);
void hg_cache_pos_key(const struct hg_cache *ca, uint32_t topic, struct hg_buf *out);
void hg_cache_lease_key(const struct hg_cache *ca, uint32_t part, struct hg_buf *out);

#endif
