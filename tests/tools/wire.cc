// The gateway's side of the wire for the tests of the tools.
#include <stdio.h>
#include "sql_protocol_generated.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define _Noreturn [[noreturn]]
extern "C" {
#include "tests/tools/support.h"
}
#undef _Noreturn
#pragma GCC diagnostic pop

namespace
{

using namespace flatbuffers;
using Builder = FlatBufferBuilder;

Offset<String> text(Builder &b, hg_slice s)
{
    return b.CreateString(s.p ? s.p : "", s.n);
}

template <typename T, typename F> Offset<Vector<T>> list(Builder &b, const hg_sq_value &v, F get)
{
    T *items = static_cast<T *>(hg_calloc(v.n + 1, sizeof(T)));
    for (size_t i = 0; i < v.n; i++)
        items[i] = get(v.items[i]);
    auto at = b.CreateVector(items, v.n);
    free(items);
    return at;
}

Offset<void> value(Builder &b, const hg_sq_value &v, SqlSchema::FilterValue *type)
{
    using namespace SqlSchema;
    hg_sq_type t = v.n ? v.items[0].type : HG_SQ_TEXT;
    *type = FilterValue_NONE;
    if (!v.list && v.n == 0)
        return 0;
    if (v.list && t == HG_SQ_TEXT) {
        *type = FilterValue_StringList;
        return CreateStringList(
                   b, list<Offset<String>>(b, v,
                                           [&](const hg_sq_scalar &s) { return text(b, s.text); }))
            .Union();
    }
    if (v.list && t == HG_SQ_INT) {
        *type = FilterValue_Int64List;
        return CreateInt64List(b, list<int64_t>(b, v, [](const hg_sq_scalar &s) { return s.i; }))
            .Union();
    }
    if (v.list) {
        *type = FilterValue_Float64List;
        return CreateFloat64List(b, list<double>(b, v, [](const hg_sq_scalar &s) { return s.d; }))
            .Union();
    }
    switch (t) {
    case HG_SQ_TEXT:
        *type = FilterValue_StringValue;
        return CreateStringValue(b, text(b, v.items[0].text)).Union();
    case HG_SQ_INT:
        *type = FilterValue_Int64Value;
        return CreateInt64Value(b, v.items[0].i).Union();
    case HG_SQ_REAL:
        *type = FilterValue_NumberValue;
        return CreateNumberValue(b, v.items[0].d).Union();
    default:
        *type = FilterValue_NullValue;
        return CreateNullValue(b).Union();
    }
}

Offset<void> filter(Builder &b, const hg_sq_filter &f, uint8_t *type);

Offset<SqlSchema::BasicSqlDataFilterWrapper> wrapper(Builder &b, const hg_sq_filter &f)
{
    auto *types = static_cast<uint8_t *>(hg_calloc(f.nkids + 1, 1));
    auto *kids = static_cast<Offset<void> *>(hg_calloc(f.nkids + 1, sizeof(Offset<void>)));
    for (size_t i = 0; i < f.nkids; i++)
        kids[i] = filter(b, f.kids[i], &types[i]);
    auto types_at = b.CreateVector(types, f.nkids);
    auto kids_at = b.CreateVector(kids, f.nkids);
    free(types);
    free(kids);
    auto kind = f.all ? SqlSchema::SQLFilterWrapperType_and_ : SqlSchema::SQLFilterWrapperType_or_;
    return SqlSchema::CreateBasicSqlDataFilterWrapper(b, kind, types_at, kids_at);
}

Offset<void> filter(Builder &b, const hg_sq_filter &f, uint8_t *type)
{
    using namespace SqlSchema;
    if (f.wrapper) {
        *type = BasicSqlDataFilterUnion_BasicSqlDataFilterWrapper;
        return wrapper(b, f).Union();
    }
    *type = BasicSqlDataFilterUnion_BasicSqlDataFilter;
    FilterValue kind;
    auto v = value(b, f.value, &kind);
    auto name = text(b, f.field);
    auto mod = CreateSqlFilterModifier(b, f.distinct, f.case_insensitive, NullsSortOrder_default_);
    return CreateBasicSqlDataFilter(b, name, kind, v, static_cast<BasicSqlDataFilterType>(f.op),
                                    mod)
        .Union();
}

struct Parts {
    Offset<SqlSchema::BasicSqlDataFilterWrapper> root;
    Offset<Vector<Offset<SqlSchema::OrderKeySpec>>> order;
    Offset<Vector<Offset<SqlSchema::CursorEntry>>> cursor;
};

Parts parts(Builder &b, const hg_sq_query *q)
{
    Parts p{0, 0, 0};
    Offset<SqlSchema::OrderKeySpec> order[16];
    Offset<SqlSchema::CursorEntry> cursor[16];
    if (q->filter)
        p.root = wrapper(b, *q->filter);
    for (size_t i = 0; i < q->norder; i++)
        order[i] = SqlSchema::CreateOrderKeySpec(
            b, text(b, q->order[i].field), static_cast<SqlSchema::OrderSort>(q->order[i].sort));
    for (size_t i = 0; i < q->ncursor; i++) {
        SqlSchema::FilterValue kind;
        auto v = value(b, q->cursor[i].value, &kind);
        cursor[i] = SqlSchema::CreateCursorEntry(b, text(b, q->cursor[i].field), kind, v);
    }
    p.order = b.CreateVector(order, q->norder);
    p.cursor = b.CreateVector(cursor, q->ncursor);
    return p;
}

Offset<void> payload(Builder &b, unsigned method, const hg_sq_query *q, const char *pk_column,
                     const char *pk, const char *json)
{
    using namespace SqlRpc;
    auto company = text(b, q->company), table = text(b, q->table);
    auto col = b.CreateString(pk_column), id = b.CreateString(pk), body = b.CreateString(json);
    switch (method) {
    case RpcMethod_GET_DATA: {
        Parts p = parts(b, q);
        return CreateGetDataReq(b, company, table, p.root, q->limit, q->offset, p.order, p.cursor,
                                q->strict_after)
            .Union();
    }
    case RpcMethod_GET_SINGLE:
        return CreateGetSingleReq(b, company, table, col, id).Union();
    case RpcMethod_ADD_SINGLE:
        return CreateAddSingleReq(b, company, table, col, body).Union();
    case RpcMethod_UPDATE_SINGLE:
        return CreateUpdateSingleReq(b, company, table, col, id, body).Union();
    case RpcMethod_DELETE_ROW:
        return CreateDeleteRowReq(b, company, table, col, id).Union();
    case RpcMethod_TABLE_EXISTS:
        return CreateTableExistsReq(b, company, table).Union();
    case RpcMethod_RUN_AGGREGATION:
        return CreateRunAggregationReq(b, company, table).Union();
    default:
        return CreateCreateTableReq(b, company).Union();
    }
}

void copy(char *to, size_t cap, const String *s)
{
    snprintf(to, cap, "%s", s ? s->c_str() : "");
}

void read_rows(const Vector<Offset<String>> *rows, hgt_reply *r)
{
    r->nrows = rows ? rows->size() : 0;
    for (uoffset_t i = 0; i < r->nrows && i < 64; i++)
        copy(r->rows[i], sizeof r->rows[i], rows->Get(i));
}

void read_entry(const SqlSchema::CursorEntry *e, char *to, size_t cap)
{
    if (const auto *s = e->value_as_StringValue())
        snprintf(to, cap, "%s='%s'", e->field()->c_str(), s->value()->c_str());
    else if (const auto *i = e->value_as_Int64Value())
        snprintf(to, cap, "%s=%lld", e->field()->c_str(), static_cast<long long>(i->value()));
    else if (const auto *n = e->value_as_NumberValue())
        snprintf(to, cap, "%s=%g", e->field()->c_str(), n->value());
    else
        snprintf(to, cap, "%s=null", e->field()->c_str());
}

void finish(Builder &b, unsigned method, Offset<void> body, struct hg_buf *out)
{
    auto c = b.CreateString("corr-1"), t = b.CreateString("replies");
    b.Finish(SqlRpc::CreateRequestEnvelope(b, c, t, static_cast<SqlRpc::RpcMethod>(method),
                                           static_cast<SqlRpc::RpcPayload>(method + 1), body));
    hg_buf_add(out, b.GetBufferPointer(), b.GetSize());
}

Offset<SqlSchema::TableColumn> column(Builder &b, const hg_fbw_column &c)
{
    uint8_t list[16];
    size_t n = 0;
    for (unsigned i = 0; i < 16; i++)
        if (c.constraints >> i & 1)
            list[n++] = static_cast<uint8_t>(i);
    auto constraints = b.CreateVector(list, n);
    auto pair = SqlSchema::CreateKeyValuePair(b, b.CreateString("k"), b.CreateString("v"));
    auto options = c.has_options ? SqlSchema::CreateCustomOptions(b, b.CreateVector(&pair, 1))
                                 : Offset<SqlSchema::CustomOptions>();
    return SqlSchema::CreateTableColumn(b, text(b, c.name),
                                        static_cast<SqlSchema::SQLDataType>(c.type), c.nullable,
                                        constraints, options);
}

void read_map(const Vector<Offset<SqlSchema::KeyValuePair>> *map, const char *name, hgt_reply *r)
{
    for (uoffset_t i = 0; map && i < map->size(); i++) {
        size_t at = strlen(r->agg);
        snprintf(r->agg + at, sizeof r->agg - at, " %s.%s=%s", name, map->Get(i)->key()->c_str(),
                 map->Get(i)->value()->c_str());
    }
}

void read_reply(const uint8_t *p, hgt_reply *r)
{
    const auto *e = GetRoot<SqlRpc::ResponseEnvelope>(p);
    r->good = true;
    copy(r->corr, sizeof r->corr, e->correlation_id());
    r->ok = e->ok();
    r->error = e->error_code();
    copy(r->message, sizeof r->message, e->error_message());
    r->kind = e->data_type();
    if (const auto *rows = e->data_as_RowsJson())
        read_rows(rows->rows(), r);
    if (const auto *row = e->data_as_RowJson()) {
        r->nrows = row->row() ? 1 : 0;
        copy(r->rows[0], sizeof r->rows[0], row->row());
    }
    if (const auto *res = e->data_as_BoolRes())
        r->value = res->value();
    if (const auto *res = e->data_as_AggRes()) {
        snprintf(r->agg, sizeof r->agg, "count=%u", res->agg()->count());
        read_map(res->agg()->sum_values(), "sum", r);
        read_map(res->agg()->avg_values(), "avg", r);
        read_map(res->agg()->minimum_values(), "min", r);
        read_map(res->agg()->maximum_values(), "max", r);
    }
    if (const auto *rc = e->data_as_RowsWithCursor()) {
        read_rows(rc->rows(), r);
        r->ncursor = rc->cursor() ? rc->cursor()->size() : 0;
        for (uoffset_t i = 0; i < r->ncursor && i < 8; i++)
            read_entry(rc->cursor()->Get(i), r->cursor[i], sizeof r->cursor[i]);
    }
}

} // namespace

extern "C" void hgt_request(struct hg_buf *out, const char *corr, const char *reply_topic,
                            unsigned method, const struct hg_sq_query *q, const char *pk_column,
                            const char *pk, const char *json)
{
    Builder b(256);
    auto body = payload(b, method, q, pk_column, pk, json);
    auto c = b.CreateString(corr), t = b.CreateString(reply_topic);
    b.Finish(SqlRpc::CreateRequestEnvelope(b, c, t, static_cast<SqlRpc::RpcMethod>(method),
                                           static_cast<SqlRpc::RpcPayload>(method + 1), body));
    hg_buf_add(out, b.GetBufferPointer(), b.GetSize());
}

extern "C" void hgt_create_table(struct hg_buf *out, const char *company,
                                 const struct hg_fbw_definition *d)
{
    Builder b(256);
    Offset<SqlSchema::TableColumn> cols[16];
    for (size_t i = 0; i < d->ncols; i++)
        cols[i] = column(b, d->cols[i]);
    auto list = b.CreateVector(cols, d->ncols);
    auto pair = SqlSchema::CreateKeyValuePair(b, b.CreateString("k"), b.CreateString("v"));
    auto options = d->has_options ? SqlSchema::CreateTableOptions(b, b.CreateVector(&pair, 1))
                                  : Offset<SqlSchema::TableOptions>();
    auto def = SqlSchema::CreateTableDefinition(b, text(b, d->name), list,
                                                b.CreateString("a comment"), options);
    finish(b, 5, SqlRpc::CreateCreateTableReq(b, b.CreateString(company), def).Union(), out);
}

extern "C" void hgt_aggregation(struct hg_buf *out, const struct hg_sq_query *q, bool count,
                                const struct hg_fbw_names agg[HG_FBW_AGGS])
{
    Builder b(256);
    Offset<Vector<Offset<String>>> lists[HG_FBW_AGGS];
    for (int m = 0; m < HG_FBW_AGGS; m++) {
        Offset<String> names[16];
        for (size_t i = 0; i < agg[m].n; i++)
            names[i] = text(b, agg[m].at[i]);
        if (agg[m].n)
            lists[m] = b.CreateVector(names, agg[m].n);
    }
    Parts p = parts(b, q);
    auto company = text(b, q->company), table = text(b, q->table);
    finish(b, 7,
           SqlRpc::CreateRunAggregationReq(b, company, table, count, lists[0], lists[1], lists[2],
                                           lists[3], p.root)
               .Union(),
           out);
}

extern "C" void hgt_filter(struct hg_buf *out, const struct hg_sq_query *q)
{
    Builder b(256);
    Parts p = parts(b, q);
    auto hash = b.CreateString("h");
    b.Finish(
        SqlSchema::CreateStreamingSqlDataFilter(b, hash, p.root, q->limit, p.order, p.cursor, 1));
    hg_buf_add(out, b.GetBufferPointer(), b.GetSize());
}

extern "C" void hgt_reply_read(struct hg_slice bytes, struct hgt_reply *r)
{
    memset(r, 0, sizeof *r);
    auto *p =
        static_cast<uint8_t *>(hg_malloc(bytes.n + 1)); // aligned, which a record of Kafka is not
    memcpy(p, bytes.p, bytes.n);
    Verifier v(p, bytes.n);
    if (v.VerifyBuffer<SqlRpc::ResponseEnvelope>(nullptr))
        read_reply(p, r);
    free(p);
}
