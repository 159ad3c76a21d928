#include "worker/seeds.h"

#include <stdlib.h>
#include "common/base/macros.h"
#include "proto/op.h"

/* Bytes handed to Kafka whose report has not come; above it seeds are dropped. A quarter of the
 * producer's queue (queue.buffering.max.kbytes in kafka_conf.c). */
enum { UNSENT_MAX = 16 << 20 };

struct seed {
    struct hg_kafka_report report;
    struct hg_worker *w;
    size_t bytes;
};

static void on_report(struct hg_kafka_report *r, int err)
{
    struct seed *seed = HG_CONTAINER_OF(r, struct seed, report);

    (void)err; /* the door counts it */
    seed->w->seeds.unsent -= seed->bytes;
    free(seed);
}

static void produce(struct hg_worker *w, struct hg_slice key, struct hg_slice value)
{
    struct seed *seed = hg_malloc(sizeof *seed);
    struct hg_kafka_msg m = {.topic = w->conf->page_seed_topic,
                             .key = key,
                             .value = value,
                             .want_report = true,
                             .opaque = &seed->report};

    *seed = (struct seed){{on_report}, w, key.n + value.n};
    w->seeds.unsent += seed->bytes;
    if (hg_kafka_produce(w->kafka, &m) < 0) {
        w->seeds.unsent -= seed->bytes;
        free(seed);
    }
}

void hg_seeds_publish(struct hg_worker *w, const struct hg_flight *fl,
                      const struct hg_sqlrpc_reply *reply, struct hg_lsn fence)
{
    struct hg_op_seed head = {.company = hg_stream_tenant(fl->st),
                              .table = hg_stream_table(fl->st),
                              .hash_id = hg_stream_hash_id(fl->st),
                              .lsn = fence};
    struct hg_buf cursor = {0}, text = {0};

    if (!*w->conf->page_seed_topic)
        return;
    if (w->seeds.unsent > UNSENT_MAX) {
        HG_INC(w->m, seeds_dropped);
        return;
    }
    hg_sqlrpc_put_cursor(&cursor, reply);
    head.cursor = hg_buf_slice(&cursor);
    hg_op_put_seed_head(&text, &head);
    hg_sqlrpc_put_rows(&text, reply);
    hg_op_put_snapshot_tail(&text);
    if (text.n > (size_t)w->conf->max_snapshot)
        HG_INC(w->m, seeds_dropped);
    else
        produce(w, hg_stream_key(fl->st), hg_buf_slice(&text));
    hg_buf_fini(&cursor);
    hg_buf_fini(&text);
}
