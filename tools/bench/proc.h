/*
 * What a set of processes costs, read from /proc, and starting and stopping those that the
 * benchmark owns. CPU time comes from /proc/PID/task/TID/schedstat: nanoseconds, all threads. A
 * thread that ended between two readings takes its time with it; neither side of the comparison
 * makes short-lived ones while it is measured.
 */
#ifndef HG_TOOLS_BENCH_PROC_H
#define HG_TOOLS_BENCH_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HG_PROC_MAX = 64 };
struct hg_procs {
    pid_t at[HG_PROC_MAX];
    size_t n;
};

void hg_procs_parse(struct hg_procs *p, const char *list); /* "12,34"; exits when it is none */
void hg_procs_children(struct hg_procs *p, pid_t parent);
uint64_t hg_procs_cpu_ns(const struct hg_procs *p);
uint64_t hg_procs_anon_bytes(
    const struct hg_procs *p); /* anonymous memory: heap, stacks; not the kernel's, not files' */
void hg_procs_pin(const struct hg_procs *p, int cpu); /* all threads to one CPU; < 0 does nothing */
void hg_proc_unpin(void);                             /* the calling thread: any CPU again */
void hg_proc_stop(pid_t *pid);                        /* TERM, after 10 s KILL; *pid is 0 then */
uint64_t hg_now_ns(void);

#endif
