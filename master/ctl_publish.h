/*
 * The words of "headgate ctl publish" and what they become: the JSON of POST /publish
 * (proto/publish.h). Reads files and standard input, says on standard error what is wrong.
 *
 *   hg_ctl_publish_help(&out);                           the words there are
 *   int left = hg_ctl_publish_body(argc, argv, &body);   takes its own out of argv; what is left
 * are options of the configuration left < 0: the exit code is -left, it was said why
 */
#ifndef HG_MASTER_CTL_PUBLISH_H
#define HG_MASTER_CTL_PUBLISH_H

#include "common/base/buf.h"
#include "common/base/macros.h"

void hg_ctl_publish_help(struct hg_buf *out);
int hg_ctl_publish_body(int argc, char **argv, struct hg_buf *body) HG_MUST_CHECK;
/* The answer in words; false: it is none of a publish. */
bool hg_ctl_publish_show(struct hg_slice json, struct hg_buf *out);

#endif
