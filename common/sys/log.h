/*
 * The log: one line per event with time, level, process, object, stable event tag and key=value
 * pairs. Written by the layer that decides, once. Rate-limited per tag where a peer can trigger it.
 * Loop thread only.
 *
 *   hg_log(HG_LOG_INFO, "conn 7f3a", "conn.close", "code=%d why=\"%s\"", 1001, "idle timeout");
 *   -> 2026-11-21T09:48:34.123Z info w3 conn 7f3a conn.close code=1001 why="idle timeout"
 *   JSON form: {"ts":"…","level":"info","proc":"w3","obj":"conn
 * 7f3a","event":"conn.close","code":1001,"why":"idle timeout"}
 */
#ifndef HG_COMMON_SYS_LOG_H
#define HG_COMMON_SYS_LOG_H

#include <stdbool.h>
#include "common/base/macros.h"

enum hg_log_level { HG_LOG_ERROR, HG_LOG_WARN, HG_LOG_INFO, HG_LOG_DEBUG };

int hg_log_open(const char *file, bool json); /* NULL or "": standard error; -HG_E_SYS */
int hg_log_reopen(void);                      /* after logrotate */
void hg_log_set_level(enum hg_log_level least);
enum hg_log_level hg_log_level(void);
void hg_log_set_process(const char *name); /* "master", "w3"; copied */

/* obj may be NULL. fmt holds key=value pairs separated by blanks, values with blanks in double
 * quotes. Only fmt makes structure: what an argument prints is data, whatever quotes, blanks or
 * newlines a peer put there, and is escaped. A word of fmt without "=" belongs to the text (key
 * "msg" in JSON). A value is cut at 512 bytes, a line at 4,000 (one write, whole, also to a
 * pipe). */
void hg_log_write(enum hg_log_level lv, const char *obj, const char *tag, const char *fmt, ...)
    HG_PRINTF(4, 5);
#define hg_log(lv, obj, tag, ...)                                                                  \
    do {                                                                                           \
        if ((lv) <= hg_log_level())                                                                \
            hg_log_write(lv, obj, tag, __VA_ARGS__);                                               \
    } while (0)
/* The same at most 10 times in 10 s for each tag; what was left out is said in a "suppressed=N"
 * line. */
void hg_log_limited_write(enum hg_log_level lv, const char *obj, const char *tag, const char *fmt,
                          ...) HG_PRINTF(4, 5);
#define hg_log_limited(lv, obj, tag, ...)                                                          \
    do {                                                                                           \
        if ((lv) <= hg_log_level())                                                                \
            hg_log_limited_write(lv, obj, tag, __VA_ARGS__);                                       \
    } while (0)
/* Says what was suppressed by tags that have been silent since; call it every few seconds. */
void hg_log_tick(void);

#endif
