/*
 * The two text formats of the configuration, as pure tokenizers: text in, pairs out. No file, no
 * table, no log.
 *
 *   hg_conf_text_each(text, on_pair, ctx)      headgate.conf
 *   hg_dotenv_each(text, on_pair, ctx)         .env, as the dotenv package of Node.js reads it
 *
 * A file line is "key = value", "# comment" or blank. A value ends before " #"; in double quotes it
 * may hold anything but control characters, with \" and \\. Control characters are refused
 * everywhere, so that no value can break a line of a log. What is handed out lives until the
 * callback returns.
 */
#ifndef HG_COMMON_SYS_CONF_TEXT_H
#define HG_COMMON_SYS_CONF_TEXT_H

#include "common/base/buf.h"

/* why is NULL for a pair; else a constant that says what is wrong with this line, and key and value
 * are empty. */
typedef void (*hg_conf_pair_fn)(void *ctx, unsigned line, struct hg_slice key,
                                struct hg_slice value, const char *why);

void hg_conf_text_each(struct hg_slice text, hg_conf_pair_fn fn, void *ctx);
/* Lines that dotenv does not understand are passed over, as it does; why is always NULL. */
void hg_dotenv_each(struct hg_slice text, hg_conf_pair_fn fn, void *ctx);
/* Appends value so that hg_conf_text_each gives it back: in quotes where it needs them. */
void hg_conf_text_value(struct hg_buf *out, struct hg_slice value);

#endif
