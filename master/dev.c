#include "master/dev.h"
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/err.h"
#include "common/sys/log.h"
#include "common/sys/loop.h"
#include "master/spawn.h"

#define BROKER_START (10 * HG_S)
#define STOP_GRACE (3 * HG_S)
static const char broker_name[] = "broker";

struct start {
    struct hg_dev *dev;
    int ready_fd; /* the broker's end */
};

void hg_dev_init(struct hg_dev *dev, int (*broker)(int), void (*drop)(void *), void *drop_arg)
{
    *dev = (struct hg_dev){.broker = broker, .drop = drop, .drop_arg = drop_arg, .ready_fd = -1};
}

void hg_dev_drop(struct hg_dev *dev)
{
    if (dev->ready_fd >= 0)
        close(dev->ready_fd);
    dev->ready_fd = -1;
}

static struct hg_dev_child *add(struct hg_dev *dev, const char *name, struct hg_mono now)
{
    HG_BUG_ON(dev->n == HG_DEV_AUX);
    struct hg_dev_child *c = &dev->children[dev->n++];
    *c = (struct hg_dev_child){.name = name};
    hg_slot_init(&c->slot, now);
    return c;
}

/* ---- starting ---- */

static void drop_for_child(void *arg)
{
    struct start *s = arg;
    s->dev->drop(s->dev->drop_arg);
}

static int run_broker(void *arg)
{
    struct start *s = arg;
    return s->dev->broker(s->ready_fd);
}

static pid_t fork_broker(struct hg_dev *dev)
{
    int fds[2];
    hg_dev_drop(dev);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -HG_E_SYS;
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    dev->ready_fd = fds[0];
    dev->got = 0;
    struct start s = {dev, fds[1]};
    struct hg_spawn sp = {
        .title = broker_name, .drop = drop_for_child, .run = run_broker, .arg = &s};
    pid_t pid = hg_spawn(&sp);
    close(fds[1]);
    return pid;
}

static pid_t fork_tool(struct hg_dev *dev, struct hg_dev_child *c)
{
    struct start s = {dev, -1};
    struct hg_spawn sp = {.title = c->name, .drop = drop_for_child, .arg = &s, .argv = c->argv};
    return hg_spawn(&sp);
}

static void step(struct hg_dev *dev, struct hg_dev_child *c, enum hg_slot_event ev,
                 struct hg_mono deadline);

static void start_child(struct hg_dev *dev, struct hg_dev_child *c)
{
    pid_t pid = c->path[0] ? fork_tool(dev, c) : fork_broker(dev);
    if (pid < 0) {
        hg_log(HG_LOG_ERROR, c->name, "dev.start_failed", "why=\"%s\"", strerror(errno));
        step(dev, c, HG_SLOT_EV_SPAWN_FAILED, dev->now);
        return;
    }
    c->pid = pid;
    hg_log(HG_LOG_INFO, c->name, "dev.start", "pid=%d", pid);
    step(dev, c, HG_SLOT_EV_SPAWNED, dev->now);
}

/* DRAIN and STOP are the same to these: end, please. */
static void step(struct hg_dev *dev, struct hg_dev_child *c, enum hg_slot_event ev,
                 struct hg_mono deadline)
{
    struct hg_slot_in in = {dev->now, deadline, arc4random()};
    switch (hg_slot_step(&c->slot, ev, &in)) {
    case HG_SLOT_ACT_SPAWN:
        start_child(dev, c);
        break;
    case HG_SLOT_ACT_KILL:
        kill(c->pid, SIGKILL);
        break;
    case HG_SLOT_ACT_DRAIN:
    case HG_SLOT_ACT_STOP:
        kill(c->pid, SIGTERM);
        break;
    case HG_SLOT_ACT_NONE:
        break;
    }
}

/* ---- the broker ---- */

/* True once the whole line is there. */
static bool read_address(struct hg_dev *dev)
{
    ssize_t n = read(dev->ready_fd, dev->line + dev->got, sizeof dev->line - 1 - dev->got);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) { /* it died, or says too much: its reaping comes */
        hg_dev_drop(dev);
        return false;
    }
    dev->got += (size_t)n;
    dev->line[dev->got] = '\0';
    char *nl = strchr(dev->line, '\n');
    if (!nl)
        return false;
    *nl = '\0';
    hg_dev_drop(dev);
    return true;
}

int hg_dev_start_broker(struct hg_dev *dev, struct hg_mono now)
{
    dev->now = now;
    dev->embedded = true;
    struct hg_dev_child *c = add(dev, broker_name, now);
    step(dev, c, HG_SLOT_EV_TICK, now);
    struct hg_mono end = hg_mono_add(now, BROKER_START);
    while (dev->ready_fd >= 0 && !hg_mono_reached(now, end)) {
        struct pollfd p = {.fd = dev->ready_fd, .events = POLLIN};
        if (poll(&p, 1, (int)(hg_mono_sub(end, now) / HG_MS) + 1) > 0 && read_address(dev)) {
            strlcpy(dev->brokers, dev->line, sizeof dev->brokers);
            return 0;
        }
        now = hg_mono_read();
    }
    return -HG_E_SYS;
}

static void on_address(void *arg, int fd, short revents)
{
    struct hg_dev *dev = arg;
    (void)revents;
    if (fd != dev->ready_fd || !read_address(dev))
        return;
    strlcpy(dev->brokers, dev->line, sizeof dev->brokers);
    dev->moved = true;
    hg_log(HG_LOG_WARN, broker_name, "dev.broker_moved", "address=%s why=\"its records are gone\"",
           dev->brokers);
}

/* ---- the tools ---- */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

bool hg_dev_find_tool(const char *name, char *out)
{
    char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    char *slash;
    if (n > 0) {
        dir[n] = '\0';
        if ((slash = strrchr(dir, '/')))
            *slash = '\0';
        if (snprintf(out, PATH_MAX, "%s/%s", dir, name) < PATH_MAX && is_program(out))
            return true;
        if (snprintf(out, PATH_MAX, "%s/tools/%s", dir, name) < PATH_MAX && is_program(out))
            return true;
    }
    const char *path = getenv("PATH");
    while (path && *path) {
        int len = (int)strcspn(path, ":");
        if (snprintf(out, PATH_MAX, "%.*s/%s", len, path, name) < PATH_MAX && is_program(out))
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

static int make_dir(struct hg_dev *dev)
{
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 32)
        tmp = "/tmp";
    snprintf(dev->dir, sizeof dev->dir, "%s/headgate-dev-XXXXXX", tmp);
    if (!mkdtemp(dev->dir)) {
        dev->dir[0] = '\0';
        return -HG_E_SYS;
    }
    snprintf(dev->db, sizeof dev->db, "%s/demo.db", dev->dir);
    return 0;
}

static void start_tool(struct hg_dev *dev, const char *name, const char *more)
{
    char path[PATH_MAX];
    if (!hg_dev_find_tool(name, path)) {
        hg_log(HG_LOG_WARN, name, "dev.not_found",
               "why=\"neither beside headgate nor on PATH; the console page will lack its part\"");
        return;
    }
    struct hg_dev_child *c = add(dev, name, dev->now);
    strlcpy(c->path, path, sizeof c->path);
    char *words[HG_DEV_WORDS] = {c->path, (char *)"--brokers", dev->brokers, (char *)"--db",
                                 dev->db, (char *)more,        NULL};
    memcpy(c->argv, words, sizeof words);
    step(dev, c, HG_SLOT_EV_TICK, dev->now);
}

int hg_dev_start_tools(struct hg_dev *dev, const char *brokers, struct hg_mono now)
{
    dev->now = now;
    if (brokers != dev->brokers)
        strlcpy(dev->brokers, brokers, sizeof dev->brokers);
    if (make_dir(dev) < 0)
        return -HG_E_SYS;
    start_tool(dev, "headgate-sqlworker", "--seed");
    start_tool(dev, "headgate-changes", NULL);
    return 0;
}

void hg_dev_restart_tools(struct hg_dev *dev, struct hg_mono now)
{
    dev->now = now;
    for (uint32_t i = 0; i < dev->n; i++)
        if (dev->children[i].path[0])
            step(dev, &dev->children[i], HG_SLOT_EV_DRAIN, hg_mono_add(now, STOP_GRACE));
}

/* ---- each round ---- */

void hg_dev_tick(struct hg_dev *dev, struct hg_mono now)
{
    struct hg_mono when;
    dev->now = now;
    for (uint32_t i = 0; i < dev->n; i++)
        if (hg_slot_next(&dev->children[i].slot, &when) && hg_mono_reached(now, when))
            step(dev, &dev->children[i], HG_SLOT_EV_TICK, now);
}

void hg_dev_prepare(struct hg_dev *dev, struct hg_polls *ps)
{
    if (dev->ready_fd >= 0)
        hg_polls_add(ps, dev->ready_fd, POLLIN, on_address, dev);
}

bool hg_dev_next(const struct hg_dev *dev, struct hg_mono *when)
{
    bool any = false;
    struct hg_mono t;
    for (uint32_t i = 0; i < dev->n; i++) {
        if (!hg_slot_next(&dev->children[i].slot, &t) || (any && t.us >= when->us))
            continue;
        *when = t;
        any = true;
    }
    return any;
}

bool hg_dev_reaped(struct hg_dev *dev, pid_t pid, int status, struct hg_mono now)
{
    dev->now = now;
    for (uint32_t i = 0; i < dev->n; i++) {
        struct hg_dev_child *c = &dev->children[i];
        if (c->pid != pid)
            continue;
        c->pid = 0;
        bool asked = c->slot.state == HG_SLOT_STOPPING || c->slot.state == HG_SLOT_DRAINING;
        hg_log(asked ? HG_LOG_INFO : HG_LOG_ERROR, c->name, "dev.ended", "pid=%d code=%d signal=%d",
               pid, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        step(dev, c, HG_SLOT_EV_REAPED, now);
        return true;
    }
    return false;
}

/* ---- the end ---- */

static void stop_child(struct hg_dev *dev, struct hg_dev_child *c)
{
    if (c->slot.state != HG_SLOT_STOPPING && c->slot.state != HG_SLOT_STOPPED)
        step(dev, c, HG_SLOT_EV_STOP, hg_mono_add(dev->now, STOP_GRACE));
}

void hg_dev_stop(struct hg_dev *dev, struct hg_mono now)
{
    bool tools_run = false;
    dev->now = now;
    for (uint32_t i = 0; i < dev->n; i++) {
        if (!dev->children[i].path[0])
            continue;
        stop_child(dev, &dev->children[i]);
        tools_run |= dev->children[i].slot.state != HG_SLOT_STOPPED;
    }
    for (uint32_t i = 0; i < dev->n && !tools_run; i++)
        stop_child(dev, &dev->children[i]);
}

bool hg_dev_all_stopped(const struct hg_dev *dev)
{
    for (uint32_t i = 0; i < dev->n; i++)
        if (dev->children[i].slot.state != HG_SLOT_STOPPED)
            return false;
    return true;
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d)
        return;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), e->d_name, 0); /* SQLite makes files only, no folders */
    closedir(d);
    (void)rmdir(path);
}

void hg_dev_fini(struct hg_dev *dev)
{
    hg_dev_drop(dev);
    if (dev->dir[0])
        remove_dir(dev->dir);
    dev->dir[0] = '\0';
}
