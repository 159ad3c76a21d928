/* The host's shared memory: made once before fork, never grown. See host.h. */
#include "common/sys/host.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "common/base/slice.h"

enum { PAGE = 4096, RING_MIN = 4096, KAFKA_NAME_MAX = 249 };

/* ---- topics: name[:diff|row[:header|offset]], ... ---- */

static char why_text[HG_NAME_MAX + 128];

static int refuse(struct hg_slice item, const char *what, const char **why)
{
    int n = (int)HG_MIN(item.n, HG_NAME_MAX);
    snprintf(why_text, sizeof why_text, "topic \"%.*s\": %s", n, item.p, what);
    *why = why_text;
    return -HG_E_CONF_VALUE;
}

/* Cuts the part before sep off *rest; at the end *rest is the absent slice. */
static struct hg_slice cut(struct hg_slice *rest, char sep)
{
    struct hg_slice s = *rest;
    const char *at = s.n > 0 ? memchr(s.p, sep, s.n) : NULL;
    if (!at) {
        *rest = HG_SLICE_NONE;
        return s;
    }
    s.n = (size_t)(at - s.p);
    *rest = hg_slice_of(at + 1, rest->n - s.n - 1);
    return s;
}

/* What Kafka itself takes as a topic's name. */
static bool is_topic_name(struct hg_slice s)
{
    if (s.n == 0 || s.n > KAFKA_NAME_MAX || hg_slice_is(s, ".") || hg_slice_is(s, ".."))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static const struct hg_topic *find_topic(const struct hg_host *h, struct hg_slice name)
{
    for (uint32_t t = 0; t < h->ntopics; t++)
        if (hg_slice_is(name, h->topics[t].name))
            return &h->topics[t];
    return NULL;
}

/* Whether the keys of diffs are hashIds alone: the word says it, else the name, else the profile
 * (C-6, C-7). */
static enum hg_topic_kind diff_kind(struct hg_slice name, bool bare)
{
    if (hg_slice_is(name, "server.cdc.filtered"))
        return HG_TOPIC_BARE;
    return bare && !hg_slice_is(name, "server.page.diffs") ? HG_TOPIC_BARE : HG_TOPIC_DIFF;
}

static bool read_kind(struct hg_slice name, struct hg_slice kind, bool bare,
                      enum hg_topic_kind *out)
{
    static const struct {
        const char *word;
        enum hg_topic_kind kind;
    } words[] = {{"routed", HG_TOPIC_DIFF},
                 {"bare", HG_TOPIC_BARE},
                 {"row", HG_TOPIC_ROW},
                 {"envelope", HG_TOPIC_ENVELOPE}};

    if (!kind.p && hg_slice_is(name, "server.row.events")) {
        *out = HG_TOPIC_ROW;
        return true;
    }
    if (!kind.p || hg_slice_is(kind, "diff")) {
        *out = diff_kind(name, bare);
        return true;
    }
    for (unsigned i = 0; i < HG_COUNTOF(words); i++)
        if (hg_slice_is(kind, words[i].word)) {
            *out = words[i].kind;
            return true;
        }
    return false;
}

static int parse_topic(struct hg_host *h, struct hg_slice item, bool bare, const char **why)
{
    struct hg_slice rest = item;
    struct hg_slice name = hg_slice_trim(cut(&rest, ':'), HG_BLANKS);
    struct hg_slice kind = hg_slice_trim(cut(&rest, ':'), HG_BLANKS);
    struct hg_slice version = hg_slice_trim(rest, HG_BLANKS);
    enum hg_topic_kind is;
    if (!is_topic_name(name))
        return refuse(item, "not a Kafka topic name", why);
    if (!read_kind(name, kind, bare, &is))
        return refuse(item, "its kind must be diff, bare, routed, row or envelope", why);
    if (version.p && !hg_slice_is(version, "header") && !hg_slice_is(version, "offset"))
        return refuse(item, "its version must come from header or offset", why);
    bool by_offset = hg_slice_is(version, "offset");
    const struct hg_topic *old = find_topic(h, name);
    if (old && old->kind == is && old->version_is_offset == by_offset)
        return 0; /* the same once more, which Kafka's clients take too */
    if (old)
        return refuse(item, "named twice", why);
    if (h->ntopics == HG_MAX_TOPICS)
        return refuse(item, "more than 16 topics", why);
    struct hg_topic *t = &h->topics[h->ntopics];
    t->kind = is;
    t->version_is_offset = by_offset;
    h->has_bare = h->has_bare || t->kind == HG_TOPIC_BARE;
    memcpy(t->name, name.p, name.n);
    atomic_store(&t->start_count, UINT32_MAX);
    h->ntopics++;
    return 0;
}

static int parse_topics(struct hg_host *h, const char *topics, bool bare, const char **why)
{
    struct hg_slice rest = hg_slice_str(topics);
    while (rest.n > 0) {
        struct hg_slice item = hg_slice_trim(cut(&rest, ','), HG_BLANKS);
        int rc = item.n > 0 ? parse_topic(h, item, bare, why) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- making it ---- */

static int fill_identity(struct hg_host *h, const char *id, const char **why)
{
    arc4random_buf(&h->boot_id, sizeof h->boot_id);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    h->start_wall_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    if (!id || !*id) {
        uint64_t r;
        arc4random_buf(&r, sizeof r);
        snprintf(h->instance_id, sizeof h->instance_id, "%016llx", (unsigned long long)r);
        return 0;
    }
    if (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16) {
        *why = "instance_id must be 16 lower-case hex digits";
        return -HG_E_CONF_VALUE;
    }
    strlcpy(h->instance_id, id, sizeof h->instance_id);
    return 0;
}

static int open_wakes(struct hg_host *h)
{
    for (uint32_t s = 0; s < h->nseats; s++) {
        h->wake_fd[s] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (h->wake_fd[s] < 0)
            return -HG_E_SYS;
    }
    return 0;
}

/* Values for which zero would say something else. What no seat or topic uses stays untouched and
 * costs no memory. */
static void fill_unknowns(struct hg_host *h)
{
    for (uint32_t s = 0; s < h->nseats; s++) {
        h->wake_fd[s] = -1;
        atomic_store(&h->seats[s].slot, UINT32_MAX);
        for (uint32_t r = 0; r < h->nseats; r++)
            atomic_store(&h->seats[s].ring.readers[r].cursor, HG_CURSOR_NONE);
    }
    for (uint32_t s = 0; s < HG_MAX_SLOTS; s++)
        atomic_store(&h->shares[s].holder, HG_NO_SEAT);
}

static void fill_parts(struct hg_host *h)
{
    for (uint32_t p = 0; p < h->ntopics * HG_TOPIC_PARTS; p++) {
        atomic_store(&h->parts[p].next, -1);
        atomic_store(&h->parts[p].end, -1);
    }
}

static uint64_t power_of_two(uint64_t n)
{
    uint64_t p = RING_MIN;
    while (p < n && p < UINT64_C(1) << 40)
        p <<= 1;
    return p;
}

static int fill(struct hg_host *h, const struct hg_host_spec *spec, const char **why)
{
    fill_unknowns(h);
    int rc = parse_topics(h, spec->topics, spec->bare, why);
    fill_parts(h);
    if (rc == 0)
        rc = fill_identity(h, spec->instance_id, why);
    return rc == 0 ? open_wakes(h) : rc;
}

int hg_host_new(const struct hg_host_spec *spec, struct hg_host **out, const char **why)
{
    uint32_t nseats = spec->nseats ? spec->nseats : 2 * spec->nslots + 2;
    HG_BUG_ON(spec->nslots == 0 || spec->nslots > HG_MAX_SLOTS || nseats > HG_MAX_SEATS);
    uint64_t ring_size = power_of_two(spec->ring_size);
    uint64_t ring_off = (sizeof(struct hg_host) + PAGE - 1) / PAGE * PAGE;
    uint64_t map_size = ring_off + nseats * ring_size;
    *out = NULL;
    *why = NULL;
    /* Not reserved: a ring that nobody writes costs nothing. Never /dev/shm, which is 64 MB in
     * containers. */
    void *m = mmap(NULL, map_size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return -HG_E_NOMEM;
    struct hg_host *h = m;
    h->nslots = spec->nslots;
    h->nseats = nseats;
    h->ring_size = ring_size;
    h->ring_off = ring_off;
    h->map_size = map_size;
    int rc = fill(h, spec, why);
    if (rc < 0)
        hg_host_free(h);
    else
        *out = h;
    return rc;
}

void hg_host_free(struct hg_host *h)
{
    if (!h)
        return;
    for (uint32_t s = 0; s < h->nseats; s++)
        if (h->wake_fd[s] >= 0)
            close(h->wake_fd[s]);
    munmap(h, h->map_size);
}

/* ---- positions ---- */

static uint32_t count_of(const struct hg_topic *t)
{
    return atomic_load_explicit(&t->count, memory_order_acquire);
}

struct hg_lsn hg_host_watermark(const struct hg_host *h)
{
    uint64_t most = 0;
    for (uint32_t t = 0; t < h->ntopics; t++) {
        const struct hg_part *part = &h->parts[t * HG_TOPIC_PARTS];
        for (uint32_t n = count_of(&h->topics[t]); n > 0; n--, part++) {
            uint64_t lsn = atomic_load_explicit(&part->lsn, memory_order_acquire);
            most = HG_MAX(most, lsn);
        }
    }
    return hg_lsn(most);
}

static bool topic_is_known(struct hg_host *h, uint32_t topic)
{
    struct hg_topic *t = &h->topics[topic];
    if (!atomic_load(&t->seen))
        return false;
    uint32_t count = count_of(t);
    uint32_t was = atomic_load(&t->known_upto);
    uint32_t upto = was;
    while (upto < count && atomic_load(&h->parts[topic * HG_TOPIC_PARTS + upto].known))
        upto++;
    /* Several seats may store here; a smaller value only makes the next look longer. */
    if (upto != was)
        atomic_store(&t->known_upto, upto);
    return upto >= count;
}

bool hg_host_positions_known(struct hg_host *h)
{
    for (uint32_t t = 0; t < h->ntopics; t++)
        if (!topic_is_known(h, t))
            return false;
    return true;
}

void hg_host_topic_seen(struct hg_host *h, uint32_t topic, uint32_t count)
{
    HG_BUG_ON(topic >= h->ntopics);
    struct hg_topic *t = &h->topics[topic];
    uint32_t unset = UINT32_MAX;
    count = HG_MIN(count, HG_TOPIC_PARTS);
    /* Each step can be done again by whoever comes later: the caller may die between any two. */
    atomic_compare_exchange_strong(&t->start_count, &unset, count);
    uint32_t now = atomic_load(&t->count);
    while (now < count && !atomic_compare_exchange_weak(&t->count, &now, count))
        ;
    atomic_store(&t->seen, 1);
}

bool hg_host_is_poison(const struct hg_host *h, struct hg_pos pos)
{
    for (unsigned i = 0; i < HG_POISON_MAX; i++)
        if (atomic_load(&h->poison_skip[i].part) == pos.part + 1 &&
            atomic_load(&h->poison_skip[i].offset) == pos.offset)
            return true;
    return false;
}

/* ---- wakes ---- */

void hg_host_wake(struct hg_host *h, uint32_t seat)
{
    uint64_t one = 1;
    /* EAGAIN means a counter at its limit: the seat is as awake as can be. */
    ssize_t n = write(h->wake_fd[seat], &one, sizeof one);
    (void)n;
}

void hg_host_wake_all(struct hg_host *h)
{
    for (uint32_t s = 0; s < h->nseats; s++)
        hg_host_wake(h, s);
}
