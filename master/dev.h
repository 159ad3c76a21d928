/*
 * What --dev starts beside the workers: the embedded broker (unless brokers are named), the SQL
 * worker and the change source on a SQLite file in a temporary directory. Owns these children and
 * the directory; each is restarted with back-off when it dies, and ended by process id. The machine
 * of slots.h decides when.
 *
 *   hg_dev_init(&dev, devbroker, drop, arg);      nothing is started yet; all other calls are
 *                                                 harmless then
 *   rc = hg_dev_start_broker(&dev, now);          waits for its address: dev.brokers
 *   hg_dev_start_tools(&dev, brokers, now);
 *   each round: hg_dev_tick; hg_dev_prepare; hg_dev_next; for each reaped pid: hg_dev_reaped
 *   hg_dev_stop(&dev, now); until hg_dev_all_stopped(&dev); hg_dev_fini(&dev);
 *
 * A broker that died comes back at another port and without its records: dev.moved says so once,
 * and its owner restarts whoever used it (hg_dev_restart_tools for those here).
 */
#ifndef HG_MASTER_DEV_H
#define HG_MASTER_DEV_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>
#include "master/polls.h"
#include "master/slots.h"

enum { HG_DEV_AUX = 3, HG_DEV_WORDS = 8, HG_DEV_ADDR = 128 };

struct hg_dev_child {
    const char *name;
    struct hg_slot slot;
    pid_t pid;                /* 0: not running */
    char path[PATH_MAX];      /* of a tool; "" for the broker */
    char *argv[HG_DEV_WORDS]; /* borrowed words */
};

struct hg_dev {
    int (*broker)(int ready_fd);
    void (*drop)(void *arg); /* closes the master's descriptors in a child */
    void *drop_arg;
    struct hg_mono now;
    struct hg_dev_child children[HG_DEV_AUX];
    uint32_t n;
    bool moved; /* set here, cleared by the owner */
    bool embedded;
    int ready_fd; /* the broker says its address here; -1 */
    size_t got;   /* bytes of it so far */
    char line[HG_DEV_ADDR];
    char brokers[HG_DEV_ADDR];
    char dir[64], db[80];
};

void hg_dev_init(struct hg_dev *dev, int (*broker)(int), void (*drop)(void *), void *drop_arg);
int hg_dev_start_broker(struct hg_dev *dev,
                        struct hg_mono now) HG_MUST_CHECK; /* -HG_E_SYS: it did not come up */
/* brokers is copied. A tool that is not found beside the binary or on PATH is left out, with a
 * warning. */
int hg_dev_start_tools(struct hg_dev *dev, const char *brokers, struct hg_mono now) HG_MUST_CHECK;
void hg_dev_restart_tools(struct hg_dev *dev, struct hg_mono now);
void hg_dev_tick(struct hg_dev *dev, struct hg_mono now);
void hg_dev_prepare(struct hg_dev *dev, struct hg_polls *ps);
bool hg_dev_next(const struct hg_dev *dev, struct hg_mono *when);
bool hg_dev_reaped(struct hg_dev *dev, pid_t pid, int status, struct hg_mono now);
void hg_dev_stop(struct hg_dev *dev,
                 struct hg_mono now); /* call it each round: the tools first, then their broker */
bool hg_dev_all_stopped(const struct hg_dev *dev);
void hg_dev_drop(struct hg_dev *dev); /* in a child: closes what is the master's */
/* A companion program beside this binary, in tools/ beside it (the build tree), or on PATH; out is
 * PATH_MAX long. */
bool hg_dev_find_tool(const char *name, char *out) HG_MUST_CHECK;
void hg_dev_fini(struct hg_dev *dev); /* removes the directory */

#endif
