/*
 * librdkafka's mock cluster as a process. Signals are blocked before its threads exist and waited
 * for here. An interrupt from the terminal is the master's to handle: it stops its workers first
 * and this broker last.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "common/base/macros.h"
#include "worker/devbroker.h"

static const char *const topics[] = {
    "server.page.diffs",    "server.row.events", "server.cdc.filtered",
    "server.query.control", "server.page.seed",  "sql.rpc.requests",
};

static void block_signals(sigset_t *stop)
{
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigprocmask(SIG_BLOCK, stop, NULL);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static rd_kafka_t *new_handle(void)
{
    char why[256];
    rd_kafka_conf_t *c = rd_kafka_conf_new();
    /* The handle only carries the cluster; it has nothing to say. */
    (void)rd_kafka_conf_set(c, "log_level", "2", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, c, why, sizeof why);
    if (!rk) {
        rd_kafka_conf_destroy(c);
        fprintf(stderr, "devbroker: %s\n", why);
    }
    return rk;
}

/* After the address is out: each call may wait a second for the cluster's thread. A client that
 * asks first makes the topic with the same four partitions, the cluster's default. */
static void make_topics(rd_kafka_mock_cluster_t *mc)
{
    for (size_t i = 0; i < HG_COUNTOF(topics); i++) {
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(mc, topics[i], 4, 1);
        if (err && err != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            fprintf(stderr, "devbroker: topic %s: %s\n", topics[i], rd_kafka_err2str(err));
    }
}

static int serve(rd_kafka_mock_cluster_t *mc, int ready_fd, const sigset_t *stop)
{
    char line[256];
    int n = snprintf(line, sizeof line, "%s\n", rd_kafka_mock_cluster_bootstraps(mc));
    if (write(ready_fd, line, (size_t)n) !=
        n) /* nobody there: the master died before we could hear of it */
        return 1;
    close(ready_fd);
    make_topics(mc);
    int sig;
    return sigwait(stop, &sig) == 0 ? 0 : 1;
}

int hg_devbroker_main(int ready_fd)
{
    sigset_t stop;
    block_signals(&stop);
    rd_kafka_t *rk = new_handle();
    rd_kafka_mock_cluster_t *mc = rk ? rd_kafka_mock_cluster_new(rk, 1) : NULL;
    int rc = mc ? serve(mc, ready_fd, &stop) : 1;
    if (mc)
        rd_kafka_mock_cluster_destroy(mc);
    if (rk)
        rd_kafka_destroy(rk);
    return rc;
}
