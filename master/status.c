#include "master/status.h"
#include <unistd.h>

static uint32_t load(const _Atomic uint32_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

/* The seat of a slot's worker, or NULL. */
static const struct hg_seat *seat_of(const struct hg_status *st, uint32_t slot)
{
    return st->slot_seat[slot] == HG_NO_SEAT ? NULL : &st->host->seats[st->slot_seat[slot]];
}

static bool says(const struct hg_seat *seat, uint32_t bit)
{
    return seat && (load(&seat->ready) & bit);
}

/* ---- readiness ---- */

static void slot_reasons(const struct hg_status *st, uint32_t slot, struct hg_buf *out)
{
    const struct hg_seat *seat = seat_of(st, slot);
    if (st->slots[slot].state != HG_SLOT_SERVING) {
        hg_buf_addf(out, "worker %u: %s\n", slot, hg_slot_state_name(st->slots[slot].state));
        return;
    }
    if (!says(seat, HG_READY_ACCEPT))
        hg_buf_addf(out, "worker %u: does not accept yet\n", slot);
    if (!says(seat, HG_READY_KAFKA))
        hg_buf_addf(out, "worker %u: no Kafka broker answers\n", slot);
    else if (!says(seat, HG_READY_RPC))
        hg_buf_addf(out, "worker %u: no topic for SQL replies yet\n", slot);
    if (st->conf->backplane[0] && !says(seat, HG_READY_BACKPLANE))
        hg_buf_addf(out, "worker %u: the backplane is down\n", slot);
}

bool hg_status_ready(const struct hg_status *st, struct hg_buf *out)
{
    size_t before = out->n;
    if (load(&st->host->draining))
        hg_buf_adds(out, "this host is shutting down\n");
    for (uint32_t i = 0; i < st->host->nslots; i++)
        slot_reasons(st, i, out);
    for (uint32_t i = 0; i < st->host->nslots; i++)
        if (st->shares->shares[i].phase == HG_SHARE_NOBODY)
            hg_buf_addf(out, "share %u: nobody consumes it\n", i);
    if (!hg_host_positions_known(st->host))
        hg_buf_adds(out, "the positions of the Kafka partitions are not known yet\n");
    return out->n == before;
}

/* ---- JSON ---- */

static void json_str(struct hg_buf *out, struct hg_slice s)
{
    hg_buf_addc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            hg_buf_addf(out, "\\%c", c);
        else if (c < 0x20)
            hg_buf_addf(out, "\\u%04x", c);
        else
            hg_buf_addc(out, (char)c);
    }
    hg_buf_addc(out, '"');
}

static void json_field(struct hg_buf *out, const char *name, const char *value)
{
    hg_buf_addf(out, "\"%s\":", name);
    json_str(out, hg_slice_str(value));
    hg_buf_addc(out, ',');
}

static void comma(struct hg_buf *out, bool more)
{
    if (more)
        hg_buf_addc(out, ',');
}

static const char *yes(bool b)
{
    return b ? "true" : "false";
}

static void ready_fields(const struct hg_status *st, struct hg_buf *out)
{
    struct hg_buf lines = {0};
    bool ready = hg_status_ready(st, &lines);
    hg_buf_addf(out, "\"ready\":%s,\"missing\":[", yes(ready));
    for (size_t from = 0; from < lines.n;) {
        const char *nl = memchr(lines.p + from, '\n', lines.n - from);
        size_t end = (size_t)(nl - lines.p);
        comma(out, from > 0);
        json_str(out, hg_slice_of(lines.p + from, end - from));
        from = end + 1;
    }
    hg_buf_addc(out, ']');
    hg_buf_fini(&lines);
}

void hg_status_ready_json(const struct hg_status *st, struct hg_buf *out)
{
    hg_buf_addc(out, '{');
    ready_fields(st, out);
    hg_buf_adds(out, "}\n");
}

static double seconds(int64_t us)
{
    return (double)us / (double)HG_S;
}

static double uptime(const struct hg_status *st, uint32_t slot)
{
    return hg_slot_has_worker(&st->slots[slot])
               ? seconds(hg_mono_sub(st->now, st->slots[slot].started))
               : 0;
}

#define GAUGE(seat, name) ((seat) ? (unsigned long long)HG_GET(&(seat)->metrics, name) : 0ULL)

static void json_worker(const struct hg_status *st, uint32_t slot, struct hg_buf *out)
{
    const struct hg_seat *seat = seat_of(st, slot);
    hg_buf_addf(out, "{\"slot\":%u,\"seat\":%d,\"pid\":%d,\"state\":\"%s\",\"uptime\":%.1f,", slot,
                seat ? (int)st->slot_seat[slot] : -1, seat ? (int)atomic_load(&seat->pid) : 0,
                hg_slot_state_name(st->slots[slot].state), uptime(st, slot));
    hg_buf_addf(out, "\"connections\":%llu,\"subscriptions\":%llu,\"streams\":%llu,\"rooms\":%llu,",
                GAUGE(seat, connections), GAUGE(seat, subscriptions), GAUGE(seat, streams),
                GAUGE(seat, rooms));
    hg_buf_addf(out, "\"partitions\":%u,\"lagRecords\":%llu,\"lagSeconds\":%.3f,",
                seat ? load(&seat->nparts) : 0, GAUGE(seat, lag_records),
                (double)GAUGE(seat, lag_ms) / 1000);
    hg_buf_addf(out, "\"restarts\":%u,\"accepts\":%s,\"kafka\":%s,\"rpc\":%s,\"backplane\":%s}",
                st->slots[slot].restarts, yes(says(seat, HG_READY_ACCEPT)),
                yes(says(seat, HG_READY_KAFKA)), yes(says(seat, HG_READY_RPC)),
                yes(says(seat, HG_READY_BACKPLANE)));
}

static const char *phase_name(enum hg_share_phase phase)
{
    static const char *const names[] = {"nobody", "held", "releasing", "released"};
    return names[phase];
}

static int holder_slot(const struct hg_status *st, const struct hg_share *share)
{
    return share->holder == HG_NO_SEAT ? -1 : (int)load(&st->host->seats[share->holder].slot);
}

static void json_share(const struct hg_status *st, uint32_t slot, struct hg_buf *out)
{
    const struct hg_share *share = &st->shares->shares[slot];
    hg_buf_addf(out, "{\"share\":%u,\"phase\":\"%s\",\"seat\":%d,\"worker\":%d}", slot,
                phase_name(share->phase), share->holder == HG_NO_SEAT ? -1 : (int)share->holder,
                holder_slot(st, share));
}

/* How many serving workers say this. */
static uint32_t count_saying(const struct hg_status *st, uint32_t bit)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < st->host->nslots; i++)
        n += st->slots[i].state == HG_SLOT_SERVING && says(seat_of(st, i), bit);
    return n;
}

static void json_links(const struct hg_status *st, struct hg_buf *out)
{
    hg_buf_adds(out, "\"kafka\":{");
    json_field(out, "brokers", st->conf->kafka_brokers);
    hg_buf_addf(out, "\"workersUp\":%u,\"positionsKnown\":%s},\"backplane\":{",
                count_saying(st, HG_READY_KAFKA), yes(hg_host_positions_known(st->host)));
    json_field(out, "kind", st->conf->backplane);
    hg_buf_addf(out, "\"workersUp\":%u},", count_saying(st, HG_READY_BACKPLANE));
}

void hg_status_json(const struct hg_status *st, struct hg_buf *out)
{
    hg_buf_addc(out, '{');
    json_field(out, "version", HG_VERSION);
    json_field(out, "host", st->host_id);
    json_field(out, "instance", st->host->instance_id);
    json_field(out, "clients", st->clients);
    json_field(out, "admin", st->admin);
    hg_buf_addf(out, "\"pid\":%d,\"uptime\":%.1f,", (int)getpid(),
                seconds(hg_mono_sub(st->now, st->started)));
    json_links(st, out);
    hg_buf_adds(out, "\"workers\":[");
    for (uint32_t i = 0; i < st->host->nslots; i++) {
        comma(out, i > 0);
        json_worker(st, i, out);
    }
    hg_buf_adds(out, "],\"shares\":[");
    for (uint32_t i = 0; i < st->host->nslots; i++) {
        comma(out, i > 0);
        json_share(st, i, out);
    }
    hg_buf_adds(out, "],\"beside\":[");
    for (uint32_t i = 0; i < st->naux; i++) {
        comma(out, i > 0);
        hg_buf_adds(out, "{");
        json_field(out, "name", st->aux[i].name);
        hg_buf_addf(out, "\"pid\":%d,\"restarts\":%u}", st->aux[i].pid, st->aux[i].restarts);
    }
    hg_buf_adds(out, "],");
    ready_fields(st, out);
    hg_buf_adds(out, "}\n");
}

/* ---- table ---- */

static void table_worker(const struct hg_status *st, uint32_t slot, struct hg_buf *out)
{
    const struct hg_seat *seat = seat_of(st, slot);
    hg_buf_addf(out, "%6u %4d %7d %-9s %9.0fs %8llu %8llu %8llu %6u %8llu %7.1fs %8u  %s%s%s\n",
                slot, seat ? (int)st->slot_seat[slot] : -1, seat ? (int)atomic_load(&seat->pid) : 0,
                hg_slot_state_name(st->slots[slot].state), uptime(st, slot),
                GAUGE(seat, connections), GAUGE(seat, subscriptions), GAUGE(seat, streams),
                seat ? load(&seat->nparts) : 0, GAUGE(seat, lag_records),
                (double)GAUGE(seat, lag_ms) / 1000, st->slots[slot].restarts,
                says(seat, HG_READY_KAFKA) ? "kafka " : "", says(seat, HG_READY_RPC) ? "rpc " : "",
                says(seat, HG_READY_BACKPLANE) ? "backplane" : "");
}

static void table_shares(const struct hg_status *st, struct hg_buf *out)
{
    hg_buf_adds(out, "\nshares of the partitions:");
    for (uint32_t i = 0; i < st->host->nslots; i++) {
        const struct hg_share *share = &st->shares->shares[i];
        if (share->phase == HG_SHARE_NOBODY)
            hg_buf_addf(out, "  %u: nobody", i);
        else
            hg_buf_addf(out, "  %u: worker %d%s", i, holder_slot(st, share),
                        share->phase == HG_SHARE_HELD ? "" : " (moving)");
    }
    hg_buf_addc(out, '\n');
}

void hg_status_table(const struct hg_status *st, struct hg_buf *out)
{
    hg_buf_addf(out, "headgate %s on %s, pid %d, up %.0fs; clients on %s; admin on %s\n",
                HG_VERSION, st->host_id, (int)getpid(), seconds(hg_mono_sub(st->now, st->started)),
                st->clients, st->admin[0] ? st->admin : "(off)");
    hg_buf_addf(out, "kafka %s: up in %u of %u workers\n", st->conf->kafka_brokers,
                count_saying(st, HG_READY_KAFKA), st->host->nslots);
    if (st->conf->backplane[0])
        hg_buf_addf(out, "backplane %s: up in %u of %u workers\n\n", st->conf->backplane,
                    count_saying(st, HG_READY_BACKPLANE), st->host->nslots);
    else
        hg_buf_adds(out, "backplane: none\n\n");
    hg_buf_addf(out, "%6s %4s %7s %-9s %10s %8s %8s %8s %6s %8s %8s %8s  %s\n", "worker", "seat",
                "pid", "state", "up", "conns", "subs", "streams", "parts", "lag", "behind",
                "restarts", "links");
    for (uint32_t i = 0; i < st->host->nslots; i++)
        table_worker(st, i, out);
    table_shares(st, out);
    for (uint32_t i = 0; i < st->naux; i++)
        hg_buf_addf(out, "beside: %s, pid %d, restarts %u\n", st->aux[i].name, st->aux[i].pid,
                    st->aux[i].restarts);
    struct hg_buf why = {0};
    bool ready = hg_status_ready(st, &why);
    hg_buf_adds(out, ready ? "ready: yes\n" : "ready: no\n");
    hg_buf_add(out, why.p, why.n);
    hg_buf_fini(&why);
}
