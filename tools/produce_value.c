#include "tools/produce_value.h"

#include <string.h>
#include "common/base/err.h"
#include "proto/base64.h"
#include "proto/json.h"
#include "proto/publish.h"
#include "proto/route.h"
#include "proto/rowevent.h"
#include "proto/utf8.h"

static int wrong(struct hg_buf *why, const char *what)
{
    hg_buf_adds(why, what);
    return -HG_E_BAD_OP;
}

/* Ends an object, padded to the size wanted. */
static void end_object(struct hg_buf *out, size_t from, size_t size)
{
    size_t have = out->n - from + strlen(",\"pad\":\"\"}");
    if (have < size) {
        hg_buf_adds(out, ",\"pad\":\"");
        for (; have < size; have++)
            hg_buf_addc(out, 'x');
        hg_buf_addc(out, '"');
    }
    hg_buf_addc(out, '}');
}

static void make_diff(struct hg_buf *out, const struct hg_pv_spec *spec, uint64_t n, uint64_t lsn)
{
    size_t from = out->n;
    hg_buf_adds(out, "{\"stream\":");
    hg_json_add_str(out, spec->key);
    hg_buf_addf(out, ",\"lsn\":\"%llu\",\"n\":%llu", (unsigned long long)lsn,
                (unsigned long long)n);
    end_object(out, from, spec->size);
}

static void make_row(struct hg_buf *out, const struct hg_pv_spec *spec, uint64_t n, uint64_t lsn)
{
    size_t from = out->n;
    hg_buf_adds(out, "{\"routingKey\":");
    hg_json_add_str(out, spec->key);
    hg_buf_adds(out, ",\"hashId\":");
    hg_json_add_str(out, hg_route_hash_of(spec->key));
    hg_buf_addf(out,
                ",\"lsn\":\"%llu\",\"kind\":\"modified\",\"pk\":\"%llu\",\"row\":{\"id\":%llu}",
                (unsigned long long)lsn, (unsigned long long)n, (unsigned long long)n);
    end_object(out, from, spec->size);
}

static int check_row(struct hg_slice text, struct hg_buf *why)
{
    struct hg_rowevent ev;
    int rc = hg_rowevent_decode(text, &ev);
    hg_rowevent_fini(&ev);
    return rc == 0 ? 0 : wrong(why, "not a row event: expected a JSON object with a routingKey");
}

/* ---- envelopes ---- */

static void put_member(struct hg_buf *out, const char *key, struct hg_slice value)
{
    hg_json_add_str(out, hg_slice_str(key));
    hg_buf_addc(out, ':');
    hg_json_add_str(out, value);
}

static void put_payload(struct hg_buf *out, struct hg_slice s)
{
    struct hg_buf b64 = {0};
    if (hg_utf8_valid(s.p, s.n)) {
        put_member(out, "text", s);
        return;
    }
    hg_b64_add(&b64, s);
    put_member(out, "b64", hg_buf_slice(&b64));
    hg_buf_fini(&b64);
}

static void put_target(struct hg_buf *out, const struct hg_pv_spec *spec)
{
    hg_buf_addc(out, '{');
    if (!strcmp(spec->target_key, "all"))
        hg_buf_adds(out, "\"all\":true");
    else
        put_member(out, spec->target_key, hg_slice_str(spec->target));
    if (spec->tenant) {
        hg_buf_addc(out, ',');
        put_member(out, "tenant", hg_slice_str(spec->tenant));
    }
    hg_buf_addc(out, ',');
}

static void wrap(struct hg_buf *out, const struct hg_pv_spec *spec, struct hg_slice payload)
{
    put_target(out, spec);
    if (!strcmp(spec->target_key, "channel")) {
        hg_buf_adds(out, "\"data\":");
        hg_buf_add_slice(out, payload);
    } else {
        put_payload(out, payload);
    }
    hg_buf_addc(out, '}');
}

static int check_envelope(struct hg_slice text, struct hg_buf *why)
{
    struct hg_publish_list l;
    int rc = hg_publish_read(text, true, &l);
    if (rc < 0)
        hg_buf_addf(why, "not an envelope: %s", l.detail[0] ? l.detail : "not JSON");
    hg_publish_list_fini(&l);
    return rc < 0 ? -HG_E_BAD_OP : 0;
}

static int make_envelope(struct hg_buf *out, const struct hg_pv_spec *spec, uint64_t n,
                         struct hg_slice given, struct hg_buf *why)
{
    struct hg_buf made = {0};
    if (!given.p) {
        hg_buf_addf(&made, "{\"n\":%llu", (unsigned long long)n);
        end_object(&made, 0, spec->size);
        given = hg_buf_slice(&made);
    }
    int rc = 0;
    if (!spec->target_key)
        hg_buf_add_slice(out, given);
    else if (!strcmp(spec->target_key, "channel") && !hg_json_is_object(given))
        rc = wrong(why, "the data of a channel is a JSON object");
    else
        wrap(out, spec, given);
    hg_buf_fini(&made);
    return rc < 0 ? rc : check_envelope(hg_buf_slice(out), why);
}

int hg_pv_make(struct hg_buf *out, const struct hg_pv_spec *spec, uint64_t n, uint64_t lsn,
               struct hg_slice given, struct hg_buf *why)
{
    if (spec->kind == HG_PV_ENVELOPE)
        return make_envelope(out, spec, n, given, why);
    if (given.p)
        hg_buf_add_slice(out, given);
    else if (spec->kind == HG_PV_ROW)
        make_row(out, spec, n, lsn);
    else
        make_diff(out, spec, n, lsn);
    return spec->kind == HG_PV_ROW ? check_row(hg_buf_slice(out), why) : 0;
}
