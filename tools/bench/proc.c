#include "tools/bench/proc.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include "tools/cli.h"

uint64_t hg_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void hg_procs_parse(struct hg_procs *p, const char *list)
{
    char *end;
    p->n = 0;
    for (const char *s = list; *s; s = *end ? end + 1 : end) {
        long pid = strtol(s, &end, 10);
        if (end == s || pid <= 0 || (*end && *end != ',') || p->n == HG_PROC_MAX)
            hg_cli_die("--pids: not a list of process ids: %s", list);
        p->at[p->n++] = (pid_t)pid;
    }
}

void hg_procs_children(struct hg_procs *p, pid_t parent)
{
    char path[64];
    int pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *f = fopen(path, "r");
    p->n = 0;
    while (f && p->n < HG_PROC_MAX && fscanf(f, "%d", &pid) == 1)
        p->at[p->n++] = pid;
    if (f)
        fclose(f);
}

/* Calls fn for each thread of each process. */
static void each_thread(const struct hg_procs *p, void (*fn)(pid_t pid, pid_t tid, void *arg),
                        void *arg)
{
    for (size_t i = 0; i < p->n; i++) {
        char path[64];
        struct dirent *e;
        snprintf(path, sizeof path, "/proc/%d/task", (int)p->at[i]);
        DIR *d = opendir(path);
        while (d && (e = readdir(d)))
            if (e->d_name[0] != '.')
                fn(p->at[i], (pid_t)atoi(e->d_name), arg);
        if (d)
            closedir(d);
    }
}

static void add_cpu(pid_t pid, pid_t tid, void *arg)
{
    char path[80];
    unsigned long long ns;
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%llu", &ns) == 1)
        *(uint64_t *)arg += ns;
    if (f)
        fclose(f);
}

uint64_t hg_procs_cpu_ns(const struct hg_procs *p)
{
    uint64_t ns = 0;
    each_thread(p, add_cpu, &ns);
    return ns;
}

static void pin(pid_t pid, pid_t tid, void *arg)
{
    cpu_set_t set;
    (void)pid;
    CPU_ZERO(&set);
    CPU_SET(*(int *)arg, &set);
    if (sched_setaffinity(tid, sizeof set, &set) < 0)
        hg_cli_die("pinning thread %d to CPU %d: %m", (int)tid, *(int *)arg);
}

void hg_procs_pin(const struct hg_procs *p, int cpu)
{
    if (cpu >= 0)
        each_thread(p, pin, &cpu);
}

void hg_proc_unpin(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        CPU_SET(i, &set);
    sched_setaffinity(0, sizeof set, &set); /* the kernel takes those there are */
}

uint64_t hg_procs_anon_bytes(const struct hg_procs *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        char line[256], path[64];
        unsigned long kb;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)p->at[i]);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "Anonymous: %lu kB", &kb) == 1)
                sum += (uint64_t)kb * 1024;
        if (f)
            fclose(f);
    }
    return sum;
}

void hg_proc_stop(pid_t *pid)
{
    const struct timespec tick = {0, 20 * 1000 * 1000};
    if (*pid <= 0)
        return;
    kill(*pid, SIGTERM);
    for (int i = 0; i < 500; i++) {
        if (waitpid(*pid, NULL, WNOHANG) == *pid) {
            *pid = 0;
            return;
        }
        nanosleep(&tick, NULL);
    }
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}
