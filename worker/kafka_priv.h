/*
 * Private to worker/kafka*.c. One consumer handle serves both queues (changes and replies): a
 * handle costs four threads and 2.3 MB. Partitions are started and stopped one by one with
 * librdkafka's simple consumer, which needs no group and leaves the other partitions alone; offsets
 * are always given by us.
 *
 *   kafka.c       handles, the event queue of librdkafka, state, life cycle
 *   kafka_in.c    change partitions and the two message queues
 *   kafka_out.c   producer, delivery reports; kafka_conf.c   properties of the handles
 *   kafka_reply.c the names of reply topics: our own, and those that dead workers left
 *   kafka_meta.c  a thread for the calls that block: metadata, offsets, making and deleting the
 * reply topic
 *
 * The life of a change partition (struct kpart):
 *
 *   OFF --apply--> LIVE                        position stored: start there
 *   OFF --apply--> ASKING --offsets--> LIVE    start of the log, or an empty one
 *                  ASKING --offsets--> SEEKING --last data record and end met--> LIVE
 *   OFF --apply--> VERIFY --same record there--> LIVE       the topic was away: is it the same log?
 *   LIVE --tick--> VERIFY                                   a partition of the topic was lost
 * somewhere: is this one? LIVE, SEEKING, VERIFY --offset gone--> ASKING           (AIM_LOST unless
 * the start was still being looked for) any --share moved, topic away--> OFF
 */
#ifndef HG_WORKER_KAFKA_PRIV_H
#define HG_WORKER_KAFKA_PRIV_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include "common/base/map.h"
#include "worker/kafka.h"

enum {
    KAFKA_BATCH = 256,    /* messages taken from librdkafka at once */
    KAFKA_BUDGET = 1000,  /* records per turn and queue: clients are flushed in between */
    KAFKA_MARK_TICKS = 4, /* a mark is renewed this often: a topic made anew is noticed sooner */
    KAFKA_TICK_MS = 1000, /* lag, and asks that got no answer */
};

enum kpart_state { PART_OFF, PART_ASKING, PART_SEEKING, PART_VERIFY, PART_LIVE };
enum kpart_aim { AIM_LAST, AIM_FIRST, AIM_LOST };

/* A record that was consumed: by its time stamp a log made anew is told from the one we knew. stamp
 * 0: none. */
struct kmark {
    int64_t offset, stamp;
};

struct kpart {
    uint8_t state;        /* enum kpart_state */
    uint8_t aim;          /* enum kpart_aim: what the offsets were asked for */
    bool asked;           /* an answer is due */
    bool found;           /* SEEKING: a data record below hi was met */
    uint32_t gen;         /* of the last ask: older answers are void */
    int64_t lo, hi;       /* start and end of the log as answered */
    int64_t from;         /* SEEKING: where reading began */
    int64_t next;         /* lowest offset that may still be handed on */
    int64_t eof;          /* end of log met by reading; past transaction markers, unlike next */
    struct kmark mark[2]; /* now and then, [1] the older: what VERIFY compares */
    uint64_t stale;       /* messages of batches up to this number belong to an earlier start */
};

struct ktopic {
    uint32_t index; /* in hg_host.topics; UINT32_MAX: the reply topic */
    rd_kafka_topic_t *rkt;
    struct kpart *parts;
    uint32_t nparts;
    bool gone;       /* it existed and was then reported missing */
    uint64_t resets; /* of all its partitions on this host, as last seen */
};

struct kbatch {
    rd_kafka_queue_t *q;
    rd_kafka_message_t *m[KAFKA_BATCH];
    unsigned n, i;
    uint64_t number;
};

/* What the thread tells the loop. */
enum kresult_kind { RES_TOPIC, RES_OFFSETS, RES_REPLY, RES_UP, RES_DOWN, RES_TROUBLE };
struct kresult {
    struct kresult *next;
    uint8_t kind;
    int err; /* RES_OFFSETS: 0 or librdkafka's code */
    uint32_t topic, part, count, gen;
    int64_t lo, hi;
    char text[200]; /* RES_DOWN, RES_TROUBLE */
};

struct kask {
    struct kask *next;
    struct ktopic *topic;
    uint32_t part, gen;
    int64_t lo, hi;
    int err;
};

struct kname {
    struct kname *next;
    char name[];
};

/* Shared between loop and thread; everything under lock but the constants. */
struct kmeta {
    struct hg_kafka *k; /* the thread touches: host topic names, topics[].rkt, reply.rkt, cons,
                           reply_name (all constant) */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool stop, kick, delete_own;
    struct kask *asks, **asks_end;
    struct kresult *results, **results_end;
    struct kname *leftovers; /* reply topics of dead workers, to be deleted */
    /* private to the thread */
    bool up, reply_seen, reply_made;
    unsigned failures, missing;
};

struct kproducer_topic {
    char *name;
    rd_kafka_topic_t *rkt;
};

/* The reply topic of a seat whose worker is gone. */
struct kdead {
    uint64_t hash; /* of its name; 0: none was seen yet */
    struct hg_mono since;
    bool done; /* its deletion was asked for */
};

struct hg_kafka {
    struct hg_kafka_spec spec;
    rd_kafka_t *cons, *prod;
    rd_kafka_queue_t *cons_events, *prod_events;
    int wake_fd;
    struct hg_watch wake;
    struct hg_timer tick, prod_again;
    struct ktopic topics[HG_MAX_TOPICS];
    struct ktopic reply;
    struct kbatch changes, replies;
    char reply_name[HG_NAME_MAX];
    char predecessor[HG_NAME_MAX]; /* reply topic of who sat here before; "": none */
    bool reply_is_own;
    bool up;
    bool told, told_up, told_ready; /* what on_state was last called with */
    bool paused, blocked;           /* blocked: on_record said false */
    bool closing;
    uint32_t held;
    unsigned ticks;
    struct kdead dead[HG_MAX_SEATS];
    struct kproducer_topic *out;
    size_t nout;
    bool plain_producer; /* the broker refuses idempotence */
    unsigned prod_deaths;
    struct kmeta meta;
};

/* kafka.c */
void kafka_wake(struct hg_kafka *k); /* any thread: serve in the next turn */
void kafka_watch_queue(struct hg_kafka *k, rd_kafka_queue_t *q);
void kafka_on_event(struct hg_kafka *k, rd_kafka_event_t *ev, const char *who);
void kafka_set_up(struct hg_kafka *k, bool up, const char *why);
void kafka_tell_state(struct hg_kafka *k);
void kafka_count_error(struct hg_kafka *k, const char *tag, const char *what,
                       rd_kafka_resp_err_t err, const char *text);

/* kafka_conf.c: new configurations; NULL after a log line that names the property. */
rd_kafka_conf_t *kafka_conf_consumer(const struct hg_kafka_spec *spec);
rd_kafka_conf_t *kafka_conf_producer(const struct hg_kafka_spec *spec, bool idempotent);

/* kafka_in.c */
rd_kafka_topic_t *kafka_in_topic(struct hg_kafka *k, struct ktopic *t, const char *name);
void kafka_in_serve(struct hg_kafka *k);
void kafka_in_topic_count(struct hg_kafka *k, uint32_t topic, uint32_t count);
void kafka_in_offsets(struct hg_kafka *k, const struct kresult *r);
void kafka_in_reply_count(struct hg_kafka *k, uint32_t count);
void kafka_in_tick(struct hg_kafka *k);
void kafka_in_stop_all(struct hg_kafka *k);

/* kafka_reply.c */
void kafka_reply_name(struct hg_kafka *k); /* chooses ours and notes it in the seat */
void kafka_reply_bury(
    struct hg_kafka *k,
    bool now); /* deletes what dead workers left, when no reply can come any more (or now) */
void kafka_reply_forget(struct hg_kafka *k); /* ours is deleted: nobody shall try again */

/* kafka_out.c */
int kafka_out_open(struct hg_kafka *k) HG_MUST_CHECK;
void kafka_out_serve(struct hg_kafka *k);
void kafka_out_close(struct hg_kafka *k, int flush_ms);

/* kafka_meta.c */
int kafka_meta_start(struct hg_kafka *k) HG_MUST_CHECK;
void kafka_meta_stop(struct hg_kafka *k, bool delete_own);
void kafka_meta_kick(struct hg_kafka *k);                      /* look at once */
void kafka_meta_delete(struct hg_kafka *k, const char *topic); /* when a broker answers; once */
void kafka_meta_ask(struct hg_kafka *k, struct ktopic *t, uint32_t part, uint32_t gen);
struct kresult *kafka_meta_take(struct hg_kafka *k); /* a list, to be freed by the caller */

#endif
