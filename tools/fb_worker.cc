#include <cstring>
#include "sql_protocol_generated.h"

// The C headers use a function and a struct of one name, and C11's word for noreturn.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define _Noreturn [[noreturn]]
extern "C" {
#include "common/base/err.h"
#include "tools/fb_worker.h"
}
#undef _Noreturn
#pragma GCC diagnostic pop

namespace
{

// What a reader of one message needs: where memory comes from, and the first reason to refuse.
struct Reader {
    struct hg_arena *arena;
    const char *why;

    template <typename T> T *make(size_t n)
    {
        return static_cast<T *>(hg_arena_alloc(arena, (n ? n : 1) * sizeof(T)));
    }
    bool refuse(const char *text)
    {
        if (!why)
            why = text;
        return false;
    }
};

hg_slice slice(const flatbuffers::String *s)
{
    return s ? hg_slice{s->c_str(), s->size()} : hg_slice{nullptr, 0};
}

hg_sq_scalar integer(int64_t i)
{
    hg_sq_scalar v{};
    v.type = HG_SQ_INT;
    v.i = i;
    return v;
}

hg_sq_scalar real(double d)
{
    hg_sq_scalar v{};
    v.type = HG_SQ_REAL;
    v.d = d;
    return v;
}

hg_sq_scalar text(const flatbuffers::String *s)
{
    hg_sq_scalar v{};
    v.type = HG_SQ_TEXT;
    v.text = slice(s);
    return v;
}

void set_one(Reader &r, hg_sq_value *out, hg_sq_scalar v)
{
    hg_sq_scalar *item = r.make<hg_sq_scalar>(1);
    *item = v;
    *out = hg_sq_value{false, item, 1};
}

// The verifier checks where a vector begins, not that its elements stand at their natural
// addresses: copy them out.
template <typename T> T element(const flatbuffers::Vector<T> *values, flatbuffers::uoffset_t i)
{
    T v;
    memcpy(&v, values->Data() + i * sizeof(T), sizeof v);
    return flatbuffers::EndianScalar(v);
}

const flatbuffers::String *
element(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>> *values,
        flatbuffers::uoffset_t i)
{
    return values->Get(i);
}

template <typename V, typename F>
bool set_list(Reader &r, hg_sq_value *out, const V *values, F to_scalar)
{
    if (!values)
        return r.refuse("a list without values");
    if (values->size() > HG_SQ_MAX_PARAMS)
        return r.refuse("a list with too many values");
    hg_sq_scalar *items = r.make<hg_sq_scalar>(values->size());
    for (flatbuffers::uoffset_t i = 0; i < values->size(); i++)
        items[i] = to_scalar(element(values, i));
    *out = hg_sq_value{true, items, values->size()};
    return true;
}

// Timestamp columns hold microseconds.
bool timestamp(Reader &r, const SqlSchema::TimestampValue *t, hg_sq_value *out)
{
    int64_t us = t->epoch(), factor = 1;
    switch (t->unit()) {
    case SqlSchema::TimeUnit_SECONDS:
        factor = 1000000;
        break;
    case SqlSchema::TimeUnit_MILLIS:
        factor = 1000;
        break;
    case SqlSchema::TimeUnit_MICROS:
        break;
    case SqlSchema::TimeUnit_NANOS:
        if (us % 1000)
            return r.refuse("a timestamp finer than microseconds");
        us /= 1000;
        break;
    default:
        return r.refuse("an unknown unit of time");
    }
    if (__builtin_mul_overflow(us, factor, &us))
        return r.refuse("a timestamp out of range");
    set_one(r, out, integer(us));
    return true;
}

bool read_value(Reader &r, SqlSchema::FilterValue type, const void *v, hg_sq_value *out)
{
    using namespace SqlSchema;
    *out = hg_sq_value{};
    if (type == FilterValue_NONE)
        return true; // the operator decides whether that is an error
    if (!v)
        return r.refuse("a value without its body");
    switch (type) {
    case FilterValue_StringValue:
        set_one(r, out, text(static_cast<const StringValue *>(v)->value()));
        return true;
    case FilterValue_NumberValue:
        set_one(r, out, real(static_cast<const NumberValue *>(v)->value()));
        return true;
    case FilterValue_BoolValue:
        set_one(r, out, integer(static_cast<const BoolValue *>(v)->value()));
        return true;
    case FilterValue_NullValue:
        set_one(r, out, hg_sq_scalar{});
        return true;
    case FilterValue_Int64Value:
        set_one(r, out, integer(static_cast<const Int64Value *>(v)->value()));
        return true;
    case FilterValue_TimestampValue:
        return timestamp(r, static_cast<const TimestampValue *>(v), out);
    case FilterValue_StringList:
        return set_list(r, out, static_cast<const StringList *>(v)->values(), text);
    case FilterValue_Int64List:
        return set_list(r, out, static_cast<const Int64List *>(v)->values(), integer);
    case FilterValue_Float64List:
        return set_list(r, out, static_cast<const Float64List *>(v)->values(), real);
    case FilterValue_BoolList:
        return set_list(r, out, static_cast<const BoolList *>(v)->values(),
                        [](uint8_t b) { return integer(b != 0); });
    default:
        return r.refuse("an unknown kind of value");
    }
}

bool read_basic(Reader &r, const SqlSchema::BasicSqlDataFilter *in, hg_sq_filter *out)
{
    out->field = slice(in->field_name());
    out->op = static_cast<unsigned>(in->filter_type());
    if (const auto *m = in->modifier()) {
        out->case_insensitive = m->case_insensitive();
        out->distinct = m->distinct();
    }
    return read_value(r, in->value_type(), in->value(), &out->value);
}

bool read_wrapper(Reader &r, const SqlSchema::BasicSqlDataFilterWrapper *in, hg_sq_filter *out,
                  unsigned depth)
{
    using namespace SqlSchema;
    if (depth >= HG_SQ_MAX_DEPTH)
        return r.refuse("wrappers nested too deep");
    if (in->filter_wrapper_type() > SQLFilterWrapperType_and_)
        return r.refuse("an unknown kind of wrapper");
    out->wrapper = true;
    out->all = in->filter_wrapper_type() == SQLFilterWrapperType_and_;
    if (!in->filters())
        return true;
    if (in->filters()->size() > HG_SQ_MAX_NODES)
        return r.refuse("too many conditions");
    out->nkids = in->filters()->size();
    out->kids = r.make<hg_sq_filter>(out->nkids);
    for (flatbuffers::uoffset_t i = 0; i < out->nkids; i++) {
        auto type = static_cast<BasicSqlDataFilterUnion>(in->filters_type()->Get(i));
        const void *kid = in->filters()->Get(i);
        bool good = false;
        if (kid && type == BasicSqlDataFilterUnion_BasicSqlDataFilterWrapper)
            good = read_wrapper(r, static_cast<const BasicSqlDataFilterWrapper *>(kid),
                                &out->kids[i], depth + 1);
        else if (kid && type == BasicSqlDataFilterUnion_BasicSqlDataFilter)
            good = read_basic(r, static_cast<const BasicSqlDataFilter *>(kid), &out->kids[i]);
        else
            good = r.refuse("an unknown kind of condition");
        if (!good)
            return false;
    }
    return true;
}

// GetDataReq and StreamingSqlDataFilter have these fields in common.
template <typename M> bool read_query(Reader &r, const M *in, hg_sq_query *q)
{
    q->limit = in->limit();
    if (in->wrapper()) {
        hg_sq_filter *root = r.make<hg_sq_filter>(1);
        if (!read_wrapper(r, in->wrapper(), root, 0))
            return false;
        q->filter = root;
    }
    if (const auto *order = in->order()) {
        if (order->size() > HG_SQ_MAX_KEYS)
            return r.refuse("too many columns to order by");
        hg_sq_order *o = r.make<hg_sq_order>(order->size());
        for (flatbuffers::uoffset_t i = 0; i < order->size(); i++)
            o[i] = hg_sq_order{slice(order->Get(i)->field()),
                               static_cast<unsigned>(order->Get(i)->sort())};
        q->order = o;
        q->norder = order->size();
    }
    if (const auto *cursor = in->cursor()) {
        if (cursor->size() > HG_SQ_MAX_KEYS)
            return r.refuse("too many columns in the cursor");
        hg_sq_cursor *c = r.make<hg_sq_cursor>(cursor->size());
        for (flatbuffers::uoffset_t i = 0; i < cursor->size(); i++) {
            const auto *e = cursor->Get(i);
            c[i].field = slice(e->field());
            if (!read_value(r, e->value_type(), e->value(), &c[i].value))
                return false;
        }
        q->cursor = c;
        q->ncursor = cursor->size();
    }
    return true;
}

// Records of Kafka lie at any address; FlatBuffers wants theirs aligned.
const uint8_t *aligned(struct hg_arena *a, hg_slice msg)
{
    if (!msg.p)
        return nullptr;
    void *copy = hg_arena_alloc(a, msg.n + 1);
    memcpy(copy, msg.p, msg.n);
    return static_cast<const uint8_t *>(copy);
}

template <typename P> void read_names(const P *p, hg_fbw_request *out)
{
    out->query.company = slice(p->company_id());
    out->query.table = slice(p->table_name());
}

template <typename P> void read_pk(const P *p, hg_fbw_request *out)
{
    read_names(p, out);
    out->pk_column = slice(p->primary_key_column());
    out->pk = slice(p->primary_id());
}

bool read_definition(Reader &r, const SqlSchema::TableDefinition *in, hg_fbw_request *out)
{
    if (!in || !in->columns() || !in->columns()->size())
        return r.refuse("a definition without columns");
    if (in->columns()->size() > HG_FBW_MAX_COLUMNS)
        return r.refuse("a definition with too many columns");
    auto *cols = r.make<hg_fbw_column>(in->columns()->size());
    for (flatbuffers::uoffset_t i = 0; i < in->columns()->size(); i++) {
        const auto *c = in->columns()->Get(i);
        cols[i].name = slice(c->name());
        cols[i].type = static_cast<unsigned>(c->data_type());
        cols[i].nullable = c->is_nullable();
        cols[i].has_options = c->custom_options() && c->custom_options()->options() &&
                              c->custom_options()->options()->size();
        for (flatbuffers::uoffset_t k = 0; c->constraints() && k < c->constraints()->size(); k++) {
            auto number = static_cast<unsigned>(c->constraints()->Get(k));
            if (number >= HG_FBW_CONSTRAINTS)
                return r.refuse("an unknown constraint");
            cols[i].constraints |= 1u << number;
        }
    }
    out->query.table = slice(in->name());
    out->definition.name = out->query.table;
    out->definition.cols = cols;
    out->definition.ncols = in->columns()->size();
    out->definition.has_options = in->table_options() && in->table_options()->options() &&
                                  in->table_options()->options()->size();
    return true;
}

using Names = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;

bool read_fields(Reader &r, const Names *in, hg_fbw_names *out)
{
    if (!in)
        return true;
    if (in->size() > HG_FBW_MAX_AGG_FIELDS)
        return r.refuse("too many columns to aggregate");
    auto *names = r.make<hg_slice>(in->size());
    for (flatbuffers::uoffset_t i = 0; i < in->size(); i++)
        names[i] = slice(in->Get(i));
    *out = hg_fbw_names{names, in->size()};
    return true;
}

bool read_aggregation(Reader &r, const SqlRpc::RunAggregationReq *p, hg_fbw_request *out)
{
    out->count = p->count_enabled();
    if (p->wrapper()) {
        hg_sq_filter *root = r.make<hg_sq_filter>(1);
        if (!read_wrapper(r, p->wrapper(), root, 0))
            return false;
        out->query.filter = root;
    }
    return read_fields(r, p->sum_fields(), &out->agg[HG_FBW_SUM]) &&
           read_fields(r, p->average_fields(), &out->agg[HG_FBW_AVG]) &&
           read_fields(r, p->minimum_fields(), &out->agg[HG_FBW_MIN]) &&
           read_fields(r, p->maximum_fields(), &out->agg[HG_FBW_MAX]);
}

bool read_payload(Reader &r, const SqlRpc::RequestEnvelope *e, hg_fbw_request *out)
{
    using namespace SqlRpc;
    // The union's members stand in the order of the methods, one further for NONE.
    if (out->method >= HG_FBW_METHODS)
        return r.refuse("unknown method");
    if (static_cast<unsigned>(e->payload_type()) != out->method + 1 || !e->payload())
        return r.refuse("the payload is not that of the method");
    switch (e->payload_type()) {
    case RpcPayload_GetDataReq: {
        const auto *p = e->payload_as_GetDataReq();
        read_names(p, out);
        out->query.offset = p->offset();
        out->query.strict_after = p->strict_after();
        return read_query(r, p, &out->query);
    }
    case RpcPayload_GetSingleReq:
        read_pk(e->payload_as_GetSingleReq(), out);
        return true;
    case RpcPayload_AddSingleReq:
        read_names(e->payload_as_AddSingleReq(), out);
        out->pk_column = slice(e->payload_as_AddSingleReq()->primary_key_column());
        out->json = slice(e->payload_as_AddSingleReq()->row_json());
        return true;
    case RpcPayload_UpdateSingleReq:
        read_pk(e->payload_as_UpdateSingleReq(), out);
        out->json = slice(e->payload_as_UpdateSingleReq()->updates_json());
        return true;
    case RpcPayload_DeleteRowReq:
        read_pk(e->payload_as_DeleteRowReq(), out);
        return true;
    case RpcPayload_TableExistsReq:
        read_names(e->payload_as_TableExistsReq(), out);
        return true;
    case RpcPayload_RunAggregationReq:
        read_names(e->payload_as_RunAggregationReq(), out);
        return read_aggregation(r, e->payload_as_RunAggregationReq(), out);
    case RpcPayload_CreateTableReq:
        out->query.company = slice(e->payload_as_CreateTableReq()->company_id());
        return read_definition(r, e->payload_as_CreateTableReq()->definition(), out);
    default:
        return r.refuse("unknown method");
    }
}

// ---- answers ----

using Builder = flatbuffers::FlatBufferBuilder;

flatbuffers::Offset<flatbuffers::String> put_string(Builder &b, hg_slice s)
{
    return b.CreateString(s.p ? s.p : "", s.n);
}

flatbuffers::Offset<void> put_scalar(Builder &b, const hg_sq_scalar &v,
                                     SqlSchema::FilterValue *type)
{
    using namespace SqlSchema;
    switch (v.type) {
    case HG_SQ_INT:
        *type = FilterValue_Int64Value;
        return CreateInt64Value(b, v.i).Union();
    case HG_SQ_REAL:
        *type = FilterValue_NumberValue;
        return CreateNumberValue(b, v.d).Union();
    case HG_SQ_TEXT:
        *type = FilterValue_StringValue;
        return CreateStringValue(b, put_string(b, v.text)).Union();
    default:
        *type = FilterValue_NullValue;
        return CreateNullValue(b).Union();
    }
}

flatbuffers::Offset<SqlSchema::CursorEntry> put_entry(Builder &b, const hg_sq_cursor &e)
{
    SqlSchema::FilterValue type;
    auto value = put_scalar(b, e.value.items[0], &type);
    return SqlSchema::CreateCursorEntry(b, put_string(b, e.field), type, value);
}

flatbuffers::Offset<void> put_rows(Builder &b, const hg_fbw_reply *r)
{
    using namespace flatbuffers;
    // The builder's own vector of offsets, not std::vector: that one needs libstdc++'s exceptions.
    auto *rows = static_cast<Offset<String> *>(hg_calloc(r->nrows + 1, sizeof(Offset<String>)));
    for (size_t i = 0; i < r->nrows; i++)
        rows[i] = put_string(b, r->rows[i]);
    auto rows_at = b.CreateVector(rows, r->nrows);
    free(rows);
    if (r->data == HG_FBW_ROWS)
        return SqlRpc::CreateRowsJson(b, rows_at).Union();
    auto *entries = static_cast<Offset<SqlSchema::CursorEntry> *>(
        hg_calloc(r->ncursor + 1, sizeof(Offset<SqlSchema::CursorEntry>)));
    for (size_t i = 0; i < r->ncursor; i++)
        entries[i] = put_entry(b, r->cursor[i]);
    auto entries_at = b.CreateVector(entries, r->ncursor);
    free(entries);
    return SqlRpc::CreateRowsWithCursor(b, rows_at, entries_at).Union();
}

flatbuffers::Offset<void> put_agg(Builder &b, const hg_fbw_reply *r)
{
    using namespace SqlSchema;
    flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<KeyValuePair>>> maps[HG_FBW_AGGS];
    flatbuffers::Offset<KeyValuePair> pairs[HG_FBW_MAX_AGG_FIELDS];
    for (int m = 0; m < HG_FBW_AGGS; m++) {
        for (size_t i = 0; i < r->maps[m].n; i++)
            pairs[i] = CreateKeyValuePair(b, put_string(b, r->maps[m].at[i].key),
                                          put_string(b, r->maps[m].at[i].value));
        if (r->maps[m].n)
            maps[m] = b.CreateVector(pairs, r->maps[m].n);
    }
    auto agg = CreateDataHelperAggregation(b, r->count, maps[HG_FBW_SUM], maps[HG_FBW_AVG],
                                           maps[HG_FBW_MIN], maps[HG_FBW_MAX]);
    return SqlRpc::CreateAggRes(b, agg).Union();
}

flatbuffers::Offset<void> put_data(Builder &b, const hg_fbw_reply *r, SqlRpc::RpcResponse *type)
{
    using namespace SqlRpc;
    switch (r->data) {
    case HG_FBW_ROWS:
        *type = RpcResponse_RowsJson;
        return put_rows(b, r);
    case HG_FBW_ROWS_CURSOR:
        *type = RpcResponse_RowsWithCursor;
        return put_rows(b, r);
    case HG_FBW_ROW:
        *type = RpcResponse_RowJson;
        return CreateRowJson(b, r->nrows ? put_string(b, r->rows[0]) : 0).Union();
    case HG_FBW_BOOL:
        *type = RpcResponse_BoolRes;
        return CreateBoolRes(b, r->value).Union();
    case HG_FBW_AGG:
        *type = RpcResponse_AggRes;
        return put_agg(b, r);
    default:
        *type = RpcResponse_NONE;
        return 0;
    }
}

} // namespace

extern "C" int hg_fbw_read_request(struct hg_slice msg, struct hg_arena *a,
                                   struct hg_fbw_request *out, const char **why)
{
    *out = hg_fbw_request{};
    *why = "not a RequestEnvelope";
    const uint8_t *bytes = aligned(a, msg);
    if (!bytes || msg.n < 8)
        return -HG_E_FB_INVALID;
    flatbuffers::Verifier verifier(bytes, msg.n, 128, 100000);
    if (!SqlRpc::VerifyRequestEnvelopeBuffer(verifier))
        return -HG_E_FB_INVALID;
    const auto *e = SqlRpc::GetRequestEnvelope(bytes);
    out->correlation_id = slice(e->correlation_id());
    out->reply_topic = slice(e->reply_topic());
    out->method = static_cast<unsigned>(e->method());
    out->query.strict_after = true;
    Reader r{a, nullptr};
    if (read_payload(r, e, out))
        return 0;
    *why = r.why;
    return -HG_E_BAD_QUERY;
}

extern "C" int hg_fbw_read_filter(struct hg_slice msg, struct hg_arena *a, struct hg_sq_query *out,
                                  const char **why)
{
    *out = hg_sq_query{};
    *why = "not a StreamingSqlDataFilter";
    const uint8_t *bytes = aligned(a, msg);
    if (!bytes || msg.n < 8)
        return -HG_E_FB_INVALID;
    flatbuffers::Verifier verifier(bytes, msg.n, 128, 100000);
    if (!SqlSchema::VerifyStreamingSqlDataFilterBuffer(verifier))
        return -HG_E_FB_INVALID;
    out->strict_after = true;
    Reader r{a, nullptr};
    if (read_query(r, SqlSchema::GetStreamingSqlDataFilter(bytes), out))
        return 0;
    *why = r.why;
    return -HG_E_BAD_QUERY;
}

extern "C" void hg_fbw_encode(const struct hg_fbw_reply *r, struct hg_buf *out)
{
    Builder b(1024);
    SqlRpc::RpcResponse type = SqlRpc::RpcResponse_NONE;
    auto data = r->error ? flatbuffers::Offset<void>() : put_data(b, r, &type);
    auto corr = put_string(b, r->correlation_id);
    auto message =
        r->error ? put_string(b, r->message) : flatbuffers::Offset<flatbuffers::String>();
    b.Finish(SqlRpc::CreateResponseEnvelope(
        b, corr, r->error == 0, static_cast<SqlRpc::ErrorCode>(r->error), message, type, data));
    hg_buf_add(out, b.GetBufferPointer(), b.GetSize());
}
