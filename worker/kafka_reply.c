/*
 * Names of reply topics. Each worker makes one of its own, under a name nobody had before, and
 * notes it in its seat; a worker that is killed leaves its topic behind, and one of the living
 * deletes it when no reply can be under way to it any more (a reply to a topic that is gone would
 * make it anew on brokers that create topics by themselves).
 */
#include <stdio.h>
#include <unistd.h>
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include "worker/kafka_priv.h"

#define OWN_PREFIX "sql.rpc.responses.ws."

static void random_base36(char *out, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        out[i] = "0123456789abcdefghijklmnopqrstuvwxyz"[arc4random_uniform(36)];
    out[n - 1] = '\0';
}

/* Kafka takes letters, digits, '.', '_' and '-'. */
static void make_name(char *out, size_t n)
{
    char host[65], tail[11];
    if (gethostname(host, sizeof host) < 0)
        strlcpy(host, "host", sizeof host);
    host[sizeof host - 1] = '\0';
    for (char *p = host; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *p))
            *p = '-';
    random_base36(tail, sizeof tail);
    snprintf(out, n, OWN_PREFIX "%s.%ld.%s", host, (long)getpid(), tail);
}

static bool is_made(const char *name)
{
    return strncmp(name, OWN_PREFIX, sizeof OWN_PREFIX - 1) == 0;
}

static char *noted(struct hg_kafka *k)
{
    return k->spec.host->seats[k->spec.seat].reply_topic;
}

void kafka_reply_name(struct hg_kafka *k)
{
    const char *fixed = k->spec.conf->sql_rpc_reply_topic;
    char *seat = noted(k);
    seat[HG_NAME_MAX - 1] = '\0';
    if (is_made(seat))
        snprintf(k->predecessor, sizeof k->predecessor, "%s", seat);
    k->reply_is_own = !fixed || !*fixed;
    if (k->reply_is_own)
        make_name(k->reply_name, sizeof k->reply_name);
    else
        strlcpy(k->reply_name, fixed, sizeof k->reply_name);
    /* A fixed name is nobody's to delete. */
    strlcpy(seat, k->reply_is_own ? k->reply_name : "", HG_NAME_MAX);
}

void kafka_reply_forget(struct hg_kafka *k)
{
    if (k->up && strcmp(noted(k), k->reply_name) == 0)
        noted(k)[0] = '\0';
}

/* ---- what the dead left ---- */

static bool is_empty_seat(uint32_t state)
{
    return state == HG_SEAT_FREE || state == HG_SEAT_DEAD;
}

/* The name a dead worker left in a seat. Looked at twice: a successor may sit down meanwhile and
 * write its own. */
static bool left_in(struct hg_kafka *k, uint32_t seat, char name[HG_NAME_MAX])
{
    struct hg_seat *s = &k->spec.host->seats[seat];
    uint32_t generation = atomic_load(&s->generation);
    if (!is_empty_seat(atomic_load(&s->state)))
        return false;
    memcpy(name, s->reply_topic, HG_NAME_MAX);
    name[HG_NAME_MAX - 1] = '\0';
    atomic_thread_fence(memory_order_seq_cst);
    return is_empty_seat(atomic_load(&s->state)) && atomic_load(&s->generation) == generation &&
           is_made(name);
}

/* One is enough: whoever sits first. */
static bool is_first(struct hg_kafka *k)
{
    for (uint32_t i = 0; i < k->spec.seat; i++)
        if (atomic_load(&k->spec.host->seats[i].state) == HG_SEAT_SERVING)
            return false;
    return true;
}

static void look_at(struct hg_kafka *k, struct kdead *d, const char *name, bool due)
{
    struct hg_mono now = hg_loop_now(k->spec.loop);
    uint64_t hash = hg_hash(hg_slice_str(name));
    if (d->hash != hash)
        *d = (struct kdead){.hash = hash, .since = now};
    if (d->done ||
        (!due && !hg_mono_reached(now, hg_mono_add(d->since, k->spec.conf->rpc_timeout))))
        return;
    d->done = true;
    kafka_meta_delete(k, name);
}

void kafka_reply_bury(struct hg_kafka *k, bool now)
{
    char name[HG_NAME_MAX];
    if (!k->meta.k || !(now || is_first(k)))
        return;
    for (uint32_t i = 0; i < k->spec.host->nseats; i++)
        if (i != k->spec.seat && left_in(k, i, name))
            look_at(k, &k->dead[i], name, now);
    if (k->predecessor[0])
        look_at(k, &k->dead[k->spec.seat], k->predecessor, now);
}
