/*
 * The only C++ of the gateway: FlatBuffers of others, verified and read by the official headers. No
 * exceptions, no RTTI, nothing of libstdc++ at link time. Everything here is called from C by
 * sqlrpc.h and query_tree.h.
 */
extern "C" {
#include "common/base/macros.h"
}
#define FLATBUFFERS_ASSERT(x) HG_BUG_ON(!(x))
#include "sql_protocol_generated.h"

#include "proto/fb_vectors.hh"
#include "proto/query_tree.h"
#include "proto/request.h"

namespace
{

using SqlSchema::FilterValue;

enum { MAX_FB_DEPTH = 80 }; /* a filter nests a table per level; 32 levels are allowed */

hg_slice text_of(const flatbuffers::String *s)
{
    return s ? hg_slice_of(s->c_str(), s->size()) : HG_SLICE_NONE;
}

hg_slice text_or_empty(const flatbuffers::String *s)
{
    return s ? text_of(s) : hg_slice_of("", 0);
}

template <typename V> size_t size_of(const V *v)
{
    return v ? v->size() : 0;
}

/* ---- values ---- */

/* Where values go, and how many list elements and bytes of text may still come: one vector or
 * string can stand behind a thousand filters, and is written a thousand times. */
struct room {
    hg_pool *pool;
    size_t items;
    size_t text;
};

bool take_text(room *to, const flatbuffers::String *s, hg_slice *out)
{
    *out = text_or_empty(s);
    if (out->n > to->text)
        return false;
    to->text -= out->n;
    return true;
}

template <typename V> bool new_list(room *to, hg_value *out, hg_value_kind kind, const V *values)
{
    size_t n = size_of(values);
    if (n > to->items)
        return false;
    to->items -= n;
    out->kind = kind;
    out->n = n;
    out->list = n ? static_cast<hg_value_item *>(hg_pool_get(to->pool, n * sizeof(hg_value_item)))
                  : nullptr;
    return true;
}

bool put_item(room *to, hg_value_item *item, const flatbuffers::String *s)
{
    return take_text(to, s, &item->text);
}
bool put_item(room *, hg_value_item *item, int64_t v)
{
    item->integer = v;
    return true;
}
bool put_item(room *, hg_value_item *item, double v)
{
    item->number = v;
    return true;
}
bool put_item(room *, hg_value_item *item, uint8_t v)
{
    item->flag = v != 0;
    return true;
}

/* The verifier looks at a vector's length and place, not at the alignment of its elements: so they
 * are copied out. */
template <typename T> T element(const flatbuffers::Vector<T> *v, size_t i)
{
    T x;
    memcpy(&x, v->Data() + i * sizeof(T), sizeof(T));
    return flatbuffers::EndianScalar(x);
}

const flatbuffers::String *
element(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>> *v, size_t i)
{
    return v->Get(static_cast<flatbuffers::uoffset_t>(i));
}

template <typename V> bool read_list(room *to, hg_value *out, hg_value_kind kind, const V *values)
{
    if (!new_list(to, out, kind, values))
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (!put_item(to, &out->list[i], element(values, i)))
            return false;
    return true;
}

bool read_timestamp(const SqlSchema::TimestampValue *t, hg_value *out)
{
    out->one.integer = t->epoch();
    out->unit = t->unit();
    return out->unit < HG_UNITS;
}

/* False: a kind or unit this schema does not know, or too many elements or bytes. A kind without
 * its table is null. */
bool read_value(FilterValue type, const void *table, room *to, hg_value *out)
{
    out->kind = HG_VALUE_NULL;
    if (type > SqlSchema::FilterValue_MAX)
        return false;
    if (!table || type == SqlSchema::FilterValue_NONE)
        return true;
    out->kind = static_cast<hg_value_kind>(type);
    switch (type) {
    case SqlSchema::FilterValue_StringValue:
        return take_text(to, static_cast<const SqlSchema::StringValue *>(table)->value(),
                         &out->one.text);
    case SqlSchema::FilterValue_NumberValue:
        out->one.number = static_cast<const SqlSchema::NumberValue *>(table)->value();
        return true;
    case SqlSchema::FilterValue_BoolValue:
        out->one.flag = static_cast<const SqlSchema::BoolValue *>(table)->value();
        return true;
    case SqlSchema::FilterValue_Int64Value:
        out->one.integer = static_cast<const SqlSchema::Int64Value *>(table)->value();
        return true;
    case SqlSchema::FilterValue_TimestampValue:
        return read_timestamp(static_cast<const SqlSchema::TimestampValue *>(table), out);
    case SqlSchema::FilterValue_StringList:
        return read_list(to, out, HG_VALUE_STRINGS,
                         static_cast<const SqlSchema::StringList *>(table)->values());
    case SqlSchema::FilterValue_Int64List:
        return read_list(to, out, HG_VALUE_INT64S,
                         static_cast<const SqlSchema::Int64List *>(table)->values());
    case SqlSchema::FilterValue_Float64List:
        return read_list(to, out, HG_VALUE_NUMBERS,
                         static_cast<const SqlSchema::Float64List *>(table)->values());
    case SqlSchema::FilterValue_BoolList:
        return read_list(to, out, HG_VALUE_BOOLS,
                         static_cast<const SqlSchema::BoolList *>(table)->values());
    default: /* NullValue */
        return true;
    }
}

/* ---- queries ---- */

struct reader {
    hg_query *q;
    hg_query_path path;
    char *why;
    unsigned nodes;
    room to;
};

int too_large(reader *r)
{
    return hg_query_fault(&r->path, r->why, "too large");
}

int bad_value(reader *r)
{
    return hg_query_fault(&r->path, r->why, "a value of unknown kind, or too large");
}

int read_wrapper(reader *r, const SqlSchema::BasicSqlDataFilterWrapper *w, hg_filter *out,
                 unsigned depth);

int read_basic(reader *r, const SqlSchema::BasicSqlDataFilter *f, hg_filter *out)
{
    if (!take_text(&r->to, f->field_name(), &out->field))
        return too_large(r);
    out->op = f->filter_type();
    if (out->op >= HG_QUERY_OPS)
        return hg_query_fault(&r->path, r->why, "unknown filter_type %u", out->op);
    if (!read_value(f->value_type(), f->value(), &r->to, &out->value))
        return bad_value(r);
    const SqlSchema::SqlFilterModifier *m = f->modifier();
    out->has_modifier = m != nullptr;
    if (!m)
        return 0;
    out->distinct = m->distinct();
    out->case_insensitive = m->case_insensitive();
    out->nulls = m->nulls_order();
    return out->nulls < HG_NULLS
               ? 0
               : hg_query_fault(&r->path, r->why, "unknown nulls_order %u", out->nulls);
}

int read_child(reader *r, uint8_t type, const void *table, hg_filter *out, unsigned depth)
{
    if (++r->nodes > HG_QUERY_MAX_NODES)
        return hg_query_fault(&r->path, r->why, "more than %d filters", HG_QUERY_MAX_NODES);
    if (table && type == SqlSchema::BasicSqlDataFilterUnion_BasicSqlDataFilterWrapper)
        return read_wrapper(r, static_cast<const SqlSchema::BasicSqlDataFilterWrapper *>(table),
                            out, depth + 1);
    if (table && type == SqlSchema::BasicSqlDataFilterUnion_BasicSqlDataFilter)
        return read_basic(r, static_cast<const SqlSchema::BasicSqlDataFilter *>(table), out);
    return hg_query_fault(&r->path, r->why, "neither a filter nor a wrapper");
}

int read_wrapper(reader *r, const SqlSchema::BasicSqlDataFilterWrapper *w, hg_filter *out,
                 unsigned depth)
{
    size_t mark = hg_query_enter(&r->path, "filters");
    if (depth > HG_QUERY_MAX_DEPTH)
        return hg_query_fault(&r->path, r->why, "nested deeper than %d", HG_QUERY_MAX_DEPTH);
    if (w->filter_wrapper_type() > SqlSchema::SQLFilterWrapperType_MAX ||
        size_of(w->filters_type()) != size_of(w->filters()))
        return hg_query_fault(&r->path, r->why, "malformed wrapper");
    out->is_wrapper = true;
    out->all = w->filter_wrapper_type() == SqlSchema::SQLFilterWrapperType_and_;
    out->nkids = size_of(w->filters());
    if (r->nodes + out->nkids > HG_QUERY_MAX_NODES)
        return hg_query_fault(&r->path, r->why, "more than %d filters", HG_QUERY_MAX_NODES);
    if (out->nkids > 0)
        out->kids =
            static_cast<hg_filter *>(hg_pool_get(&r->q->pool, out->nkids * sizeof(hg_filter)));
    for (size_t i = 0; i < out->nkids; i++) {
        size_t at = hg_query_enter_at(&r->path, i);
        auto k = static_cast<flatbuffers::uoffset_t>(i);
        int rc = read_child(r, w->filters_type()->Get(k), w->filters()->GetAs<void>(k),
                            &out->kids[i], depth);
        if (rc < 0)
            return rc;
        hg_query_leave(&r->path, at);
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

int read_order(reader *r,
               const flatbuffers::Vector<flatbuffers::Offset<SqlSchema::OrderKeySpec>> *v)
{
    hg_query *q = r->q;
    size_t n = size_of(v);
    size_t mark = hg_query_enter(&r->path, "order");
    if (n > HG_QUERY_MAX_NODES)
        return hg_query_fault(&r->path, r->why, "too many");
    q->order = n ? static_cast<hg_order *>(hg_pool_get(&q->pool, n * sizeof(hg_order))) : nullptr;
    for (; q->norder < n; q->norder++) {
        auto e = v->Get(static_cast<flatbuffers::uoffset_t>(q->norder));
        if (e->sort() > SqlSchema::OrderSort_MAX)
            return hg_query_fault(&r->path, r->why, "unknown sort %u",
                                  static_cast<unsigned>(e->sort()));
        hg_order *o = &q->order[q->norder];
        if (!take_text(&r->to, e->field(), &o->field))
            return too_large(r);
        o->sort = e->sort();
        o->is_pk = e->is_pk();
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

int read_cursor(reader *r,
                const flatbuffers::Vector<flatbuffers::Offset<SqlSchema::CursorEntry>> *v)
{
    hg_query *q = r->q;
    size_t n = size_of(v);
    size_t mark = hg_query_enter(&r->path, "cursor");
    if (n > HG_QUERY_MAX_NODES)
        return hg_query_fault(&r->path, r->why, "too many");
    q->cursor =
        n ? static_cast<hg_cursor *>(hg_pool_get(&q->pool, n * sizeof(hg_cursor))) : nullptr;
    for (; q->ncursor < n; q->ncursor++) {
        auto e = v->Get(static_cast<flatbuffers::uoffset_t>(q->ncursor));
        if (!take_text(&r->to, e->field(), &q->cursor[q->ncursor].field))
            return too_large(r);
        if (!read_value(e->value_type(), e->value(), &r->to, &q->cursor[q->ncursor].value))
            return bad_value(r);
    }
    hg_query_leave(&r->path, mark);
    return 0;
}

/* Of a request or a live query: filters, order and cursor. */
template <typename T> int read_parts(reader *r, const T *from)
{
    hg_query *q = r->q;
    if (from->wrapper()) {
        size_t mark = hg_query_enter(&r->path, "wrapper");
        q->wrapper = static_cast<hg_filter *>(hg_pool_get(&q->pool, sizeof(hg_filter)));
        int rc = read_wrapper(r, from->wrapper(), q->wrapper, 1);
        if (rc < 0)
            return rc;
        hg_query_leave(&r->path, mark);
    }
    int rc = read_order(r, from->order());
    return rc < 0 ? rc : read_cursor(r, from->cursor());
}

int read_query(reader *r, const SqlSchema::StreamingSqlDataFilter *s)
{
    hg_query *q = r->q;
    q->hash = text_or_empty(s->hash());
    q->schema_version = s->schema_version();
    q->has_limit = true;
    q->limit = s->limit();
    return read_parts(r, s);
}

/* ---- requests ---- */

int read_get_data(reader *r, const SqlRpc::GetDataReq *p)
{
    r->q->has_limit = p->limit() != 0;
    r->q->limit = p->limit();
    r->q->offset = p->offset();
    r->q->strict_after = p->strict_after();
    return read_parts(r, p);
}

bool read_fields(room *to, const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>> *v,
                 const hg_slice **fields, size_t *n)
{
    *n = size_of(v);
    if (*n > to->items)
        return false;
    to->items -= *n;
    hg_slice *list = static_cast<hg_slice *>(hg_pool_get(to->pool, (*n + 1) * sizeof(*list)));
    *fields = list;
    for (size_t i = 0; i < *n; i++)
        if (!take_text(to, element(v, i), &list[i]))
            return false;
    return true;
}

int read_aggregation(reader *r, const SqlRpc::RunAggregationReq *p, hg_query_agg *agg)
{
    const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>> *const lists[] = {
        p->sum_fields(), p->average_fields(), p->minimum_fields(), p->maximum_fields()};
    agg->count = p->count_enabled();
    for (size_t i = 0; i < HG_COUNTOF(lists); i++)
        if (!read_fields(&r->to, lists[i], &agg->of[i].fields, &agg->of[i].n))
            return too_large(r);
    if (!p->wrapper())
        return 0;
    r->q->wrapper = static_cast<hg_filter *>(hg_pool_get(&r->q->pool, sizeof(hg_filter)));
    hg_query_enter(&r->path, "wrapper");
    return read_wrapper(r, p->wrapper(), r->q->wrapper, 1);
}

template <typename T> void read_company_table(const T *p, hg_sqlrpc_call *call)
{
    call->company = text_of(p->company_id());
    call->table = text_of(p->table_name());
}

template <typename T> void read_id(const T *p, hg_request *to)
{
    read_company_table(p, &to->call);
    to->pk_column = text_of(p->primary_key_column());
    to->id = text_of(p->primary_id());
}

int read_payload(reader *r, const SqlRpc::RequestEnvelope *e, hg_request *to)
{
    switch (e->payload_type()) {
    case SqlRpc::RpcPayload_GetDataReq:
        read_company_table(e->payload_as_GetDataReq(), &to->call);
        return read_get_data(r, e->payload_as_GetDataReq());
    case SqlRpc::RpcPayload_GetSingleReq:
        read_id(e->payload_as_GetSingleReq(), to);
        return 0;
    case SqlRpc::RpcPayload_AddSingleReq:
        read_company_table(e->payload_as_AddSingleReq(), &to->call);
        to->pk_column = text_of(e->payload_as_AddSingleReq()->primary_key_column());
        to->json = text_of(e->payload_as_AddSingleReq()->row_json());
        return 0;
    case SqlRpc::RpcPayload_UpdateSingleReq:
        read_id(e->payload_as_UpdateSingleReq(), to);
        to->json = text_of(e->payload_as_UpdateSingleReq()->updates_json());
        return 0;
    case SqlRpc::RpcPayload_DeleteRowReq:
        read_id(e->payload_as_DeleteRowReq(), to);
        return 0;
    case SqlRpc::RpcPayload_CreateTableReq: {
        auto d = e->payload_as_CreateTableReq()->definition();
        to->call.company = text_of(e->payload_as_CreateTableReq()->company_id());
        to->made = text_of(d ? d->name() : nullptr);
        to->columns = d ? size_of(d->columns()) : 0;
        return 0;
    }
    case SqlRpc::RpcPayload_TableExistsReq:
        read_company_table(e->payload_as_TableExistsReq(), &to->call);
        return 0;
    case SqlRpc::RpcPayload_RunAggregationReq:
        read_company_table(e->payload_as_RunAggregationReq(), &to->call);
        return read_aggregation(r, e->payload_as_RunAggregationReq(), &to->agg);
    default:
        return hg_query_fault(&r->path, r->why, "no payload");
    }
}

int read_request(reader *r, const SqlRpc::RequestEnvelope *e, hg_request *to)
{
    to->call.correlation_id = text_of(e->correlation_id());
    to->call.reply_topic = text_of(e->reply_topic());
    to->method = static_cast<hg_sqlrpc_method>(e->method());
    if (e->method() > SqlRpc::RpcMethod_MAX || e->payload_type() != e->method() + 1 ||
        !e->payload())
        return hg_query_fault(&r->path, r->why, "method and payload do not go together");
    return read_payload(r, e, to);
}

/* NULL: malformed, or *repeated. */
template <typename T> const T *verified_root(const void *bytes, size_t n, bool *repeated)
{
    auto p = static_cast<const uint8_t *>(bytes);
    /* A table takes 8 bytes with the reference to it; more tables than that is one table met again
     * and again. */
    auto tables = static_cast<uoffset_t>(n / 8 + 16);
    vector_walk w(p, n, MAX_FB_DEPTH, tables);
    bool good = walk(&w, static_cast<const T *>(nullptr));
    *repeated = w.repeated;
    flatbuffers::Verifier v(p, n, MAX_FB_DEPTH, tables);
    return good && v.VerifyBuffer<T>(nullptr) ? flatbuffers::GetRoot<T>(p) : nullptr;
}

/* The reader of n bytes at p, of which text may come to max_text. */
reader reader_of(hg_query *q, size_t n, size_t max_text, char *why)
{
    reader r = {};
    r.q = q;
    r.why = why;
    r.to = room{&q->pool, n, max_text};
    r.path.text[0] = '$';
    r.path.n = 1;
    return r;
}

int bad_root(reader *r, bool repeated, const char *what)
{
    return hg_query_fault(&r->path, r->why, repeated ? "one list is used many times" : "not a %s",
                          what);
}

/* ---- replies ---- */

const SqlRpc::ResponseEnvelope *envelope(const hg_sqlrpc_reply *r)
{
    return static_cast<const SqlRpc::ResponseEnvelope *>(r->root);
}

using strings = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;

const strings *rows_of(const hg_sqlrpc_reply *r)
{
    if (r->kind == HG_SQLRPC_ROWS)
        return envelope(r)->data_as_RowsJson()->rows();
    return r->kind == HG_SQLRPC_ROWS_CURSOR ? envelope(r)->data_as_RowsWithCursor()->rows()
                                            : nullptr;
}

const SqlSchema::DataHelperAggregation *agg_of(const hg_sqlrpc_reply *r)
{
    return r->kind == HG_SQLRPC_AGG ? envelope(r)->data_as_AggRes()->agg() : nullptr;
}

const flatbuffers::Vector<flatbuffers::Offset<SqlSchema::CursorEntry>> *
cursor_of(const hg_sqlrpc_reply *r)
{
    return r->kind == HG_SQLRPC_ROWS_CURSOR ? envelope(r)->data_as_RowsWithCursor()->cursor()
                                            : nullptr;
}

/* Counts no further than beyond max. */
size_t texts_size(const strings *v, size_t max)
{
    size_t sum = 0;
    for (size_t i = 0; sum <= max && i < size_of(v); i++)
        sum += text_of(element(v, i)).n + 1;
    return sum;
}

/* What the value comes to when it is written out, about. */
size_t value_size(const SqlSchema::CursorEntry *e, size_t max)
{
    switch (e->value() ? e->value_type() : SqlSchema::FilterValue_NONE) {
    case SqlSchema::FilterValue_StringValue:
        return text_of(e->value_as_StringValue()->value()).n;
    case SqlSchema::FilterValue_StringList:
        return texts_size(e->value_as_StringList()->values(), max);
    case SqlSchema::FilterValue_Int64List:
        return 8 * size_of(e->value_as_Int64List()->values());
    case SqlSchema::FilterValue_Float64List:
        return 8 * size_of(e->value_as_Float64List()->values());
    case SqlSchema::FilterValue_BoolList:
        return size_of(e->value_as_BoolList()->values());
    default:
        return 8;
    }
}

bool read_reply(const SqlRpc::ResponseEnvelope *e, hg_sqlrpc_reply *r)
{
    if (!e || e->data_type() > SqlRpc::RpcResponse_MAX)
        return false;
    r->root = e;
    r->correlation_id = text_of(e->correlation_id());
    r->ok = e->ok();
    r->error_code = e->error_code();
    r->error_message = text_of(e->error_message());
    r->kind = e->data() ? static_cast<hg_sqlrpc_kind>(e->data_type()) : HG_SQLRPC_NO_DATA;
    r->nrows = static_cast<uint32_t>(size_of(rows_of(r)));
    if (r->kind == HG_SQLRPC_ROW)
        r->nrows = text_of(e->data_as_RowJson()->row()).n > 0;
    if (r->kind == HG_SQLRPC_BOOL)
        r->value = e->data_as_BoolRes()->value();
    return true;
}

} // namespace

extern "C" {

int hg_query_read_fb(const void *bytes, size_t n, hg_query *q, char why[HG_QUERY_WHY_MAX])
{
    bool repeated;
    reader r = reader_of(q, n, HG_QUERY_MAX_JSON, why);
    auto s = verified_root<SqlSchema::StreamingSqlDataFilter>(bytes, n, &repeated);
    return s ? read_query(&r, s) : bad_root(&r, repeated, "StreamingSqlDataFilter");
}

int hg_query_read_request(const void *bytes, size_t n, hg_request *to, char why[HG_QUERY_WHY_MAX])
{
    bool repeated;
    reader r = reader_of(to->query, n, HG_REQUEST_MAX, why);
    auto e = verified_root<SqlRpc::RequestEnvelope>(bytes, n, &repeated);
    return e ? read_request(&r, e, to) : bad_root(&r, repeated, "RequestEnvelope");
}

bool hg_fb_read_reply(const void *bytes, size_t n, hg_sqlrpc_reply *r)
{
    bool repeated;
    return read_reply(verified_root<SqlRpc::ResponseEnvelope>(bytes, n, &repeated), r);
}

hg_slice hg_sqlrpc_row(const hg_sqlrpc_reply *r, uint32_t i)
{
    if (r->kind == HG_SQLRPC_ROW)
        return text_of(envelope(r)->data_as_RowJson()->row());
    return text_or_empty(rows_of(r)->Get(i));
}

bool hg_sqlrpc_rest_fits(const hg_sqlrpc_reply *r, size_t max)
{
    size_t sum = 0;
    hg_slice key, value;
    for (unsigned map = 0; map < 4; map++)
        for (uint32_t i = 0; sum <= max && hg_sqlrpc_agg_at(r, map, i, &key, &value); i++)
            sum += key.n + value.n;
    auto cursor = cursor_of(r);
    for (flatbuffers::uoffset_t i = 0; sum <= max && i < size_of(cursor); i++)
        sum += text_of(cursor->Get(i)->field()).n + value_size(cursor->Get(i), max);
    return sum <= max;
}

bool hg_sqlrpc_cursor_at(const hg_sqlrpc_reply *r, uint32_t i, hg_cursor *c, hg_pool *pool)
{
    auto v = cursor_of(r);
    if (i >= size_of(v))
        return false;
    *c = hg_cursor();
    c->field = text_or_empty(v->Get(i)->field());
    room to = {pool, SIZE_MAX, SIZE_MAX};
    if (!read_value(v->Get(i)->value_type(), v->Get(i)->value(), &to, &c->value))
        c->value.kind = HG_VALUE_NULL;
    return true;
}

uint32_t hg_sqlrpc_agg_count(const hg_sqlrpc_reply *r)
{
    return agg_of(r) ? agg_of(r)->count() : 0;
}

bool hg_sqlrpc_agg_at(const hg_sqlrpc_reply *r, unsigned map, uint32_t i, hg_slice *key,
                      hg_slice *value)
{
    auto a = agg_of(r);
    if (!a)
        return false;
    const flatbuffers::Vector<flatbuffers::Offset<SqlSchema::KeyValuePair>> *const maps[] = {
        a->sum_values(), a->avg_values(), a->minimum_values(), a->maximum_values()};
    if (i >= size_of(maps[map]))
        return false;
    *key = text_or_empty(maps[map]->Get(i)->key());
    *value = text_or_empty(maps[map]->Get(i)->value());
    return true;
}

} // extern "C"
