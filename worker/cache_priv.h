/* Inside the hot cache: the link and the readers (cache.c), the writer (cache_write.c), the Lua
 * (cache_lua.c). */
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

struct hg_cache {
    struct hg_cache_spec spec;
    struct hg_redis *link;
    struct hg_timer tend, relink;
    struct hg_cache_part **parts; /* by part number; NULL: nothing to do with it */
    struct hg_cache_part *dirty;
    uint64_t kept_bytes;
    unsigned tending; /* scripts under way */
    bool up;
    char owner[64]; /* no two workers ever share it */
    char prefix[256];
    struct hg_buf text;
};

extern struct hg_redis_script hg_cache_lua_tend, hg_cache_lua_write, hg_cache_lua_after;

void hg_cache_write_init(struct hg_cache *ca);
void hg_cache_write_fini(struct hg_cache *ca);
void hg_cache_write_up(struct hg_cache *ca);
void hg_cache_write_down(struct hg_cache *ca);
/* Counts an error reply; a warning at most now and then. */
void hg_cache_error(struct hg_cache *ca, const char *what, struct hg_slice text);
void hg_cache_pos_key(const struct hg_cache *ca, uint32_t topic, struct hg_buf *out);

#endif
