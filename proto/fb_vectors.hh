/*
 * Whether the vectors of a buffer are each there once. The official verifier looks at a vector, and
 * at each string in it, as often as something refers to it: in 64 KB one list can stand behind
 * thousands of filters and cost a tenth of a second. Builders write each vector apart, so that all
 * a buffer's vectors together are no longer than the buffer; this adds up what the verifier would
 * meet, and stops above that. What is not looked at here (scalars, strings, tables) is the
 * verifier's, which counts tables itself.
 *
 *   vector_walk w(p, n, depth, tables);
 *   bool fits = walk(&w, static_cast<const SqlRpc::RequestEnvelope *>(nullptr));
 *
 * False: w.repeated, or else malformed.
 *
 * Included by fb_read.cc alone.
 */
#ifndef HG_PROTO_FB_VECTORS_HH
#define HG_PROTO_FB_VECTORS_HH

#include "sql_protocol_generated.h"

namespace
{

using flatbuffers::Table;
using flatbuffers::uoffset_t;
using flatbuffers::voffset_t;

struct vector_walk {
    vector_walk(const uint8_t *bytes, size_t n, uoffset_t depth, uoffset_t tables)
        : verifier(bytes, n, depth, tables), p(bytes), left(n)
    {
    }
    flatbuffers::Verifier verifier;
    const uint8_t *p;
    size_t left; /* bytes of vectors that may still be met */
    bool repeated = false;
};

/* Where a field leads; *to NULL: it is absent. False: outside. */
bool follow(const vector_walk *w, const Table *t, voffset_t field, const uint8_t **to)
{
    if (!t->VerifyOffset(w->verifier, field))
        return false;
    *to = t->GetPointer<const uint8_t *>(field);
    return true;
}

bool read_type(const vector_walk *w, const Table *t, voffset_t field, uint8_t *type)
{
    if (!t->VerifyField<uint8_t>(w->verifier, field, 1))
        return false;
    *type = t->GetField<uint8_t>(field, 0);
    return true;
}

/* vec may be NULL. */
bool take_vector(vector_walk *w, const uint8_t *vec, size_t size, uoffset_t *n)
{
    *n = 0;
    if (!vec)
        return true;
    if (!w->verifier.VerifyVectorOrString(vec, size))
        return false;
    *n = flatbuffers::ReadScalar<uoffset_t>(vec);
    w->repeated = *n * size > w->left;
    w->left -= w->repeated ? 0 : *n * size;
    return !w->repeated;
}

/* The table that element i of a taken vector of offsets refers to, or NULL. */
const Table *table_at(const vector_walk *w, const uint8_t *vec, uoffset_t i)
{
    size_t at = static_cast<size_t>(vec - w->p) + sizeof(uoffset_t) * (i + size_t{1});
    uoffset_t o = w->verifier.VerifyOffset(at);
    return o ? reinterpret_cast<const Table *>(w->p + at + o) : nullptr;
}

bool enter(vector_walk *w, const Table *t)
{
    return t && t->VerifyTableStart(w->verifier);
}

bool leave(vector_walk *w)
{
    return w->verifier.EndTable();
}

/* Of a list's elements; 0: no list. */
size_t element_size(uint8_t kind)
{
    switch (kind) {
    case SqlSchema::FilterValue_StringList:
        return sizeof(uoffset_t);
    case SqlSchema::FilterValue_Int64List:
    case SqlSchema::FilterValue_Float64List:
        return 8;
    case SqlSchema::FilterValue_BoolList:
        return 1;
    default:
        return 0;
    }
}

/* All kinds of list have their values in the same place. */
bool walk_value(vector_walk *w, const Table *t, voffset_t type_field, voffset_t field)
{
    uint8_t type;
    const uint8_t *value, *values;
    uoffset_t n;
    if (!read_type(w, t, type_field, &type) || !follow(w, t, field, &value))
        return false;
    size_t size = element_size(type);
    if (!value || size == 0)
        return true;
    auto list = reinterpret_cast<const Table *>(value);
    return enter(w, list) && follow(w, list, SqlSchema::StringList::VT_VALUES, &values) &&
           take_vector(w, values, size, &n) && leave(w);
}

bool walk_wrapper(vector_walk *w, const Table *t);

bool walk_child(vector_walk *w, uint8_t type, const uint8_t *filters, uoffset_t i)
{
    using basic = SqlSchema::BasicSqlDataFilter;
    if (type != SqlSchema::BasicSqlDataFilterUnion_BasicSqlDataFilterWrapper &&
        type != SqlSchema::BasicSqlDataFilterUnion_BasicSqlDataFilter)
        return true;
    const Table *t = table_at(w, filters, i);
    if (type == SqlSchema::BasicSqlDataFilterUnion_BasicSqlDataFilterWrapper)
        return walk_wrapper(w, t);
    return enter(w, t) && walk_value(w, t, basic::VT_VALUE_TYPE, basic::VT_VALUE) && leave(w);
}

bool walk_wrapper(vector_walk *w, const Table *t)
{
    using wrapper = SqlSchema::BasicSqlDataFilterWrapper;
    const uint8_t *types, *filters;
    uoffset_t ntypes, n;
    if (!enter(w, t) || !follow(w, t, wrapper::VT_FILTERS_TYPE, &types) ||
        !follow(w, t, wrapper::VT_FILTERS, &filters) || !take_vector(w, types, 1, &ntypes) ||
        !take_vector(w, filters, sizeof(uoffset_t), &n) || ntypes != n)
        return false;
    for (uoffset_t i = 0; i < n; i++)
        if (!walk_child(w, types[sizeof(uoffset_t) + i], filters, i))
            return false;
    return leave(w);
}

bool walk_cursor(vector_walk *w, const Table *t, voffset_t field)
{
    using entry = SqlSchema::CursorEntry;
    const uint8_t *cursor;
    uoffset_t n;
    if (!follow(w, t, field, &cursor) || !take_vector(w, cursor, sizeof(uoffset_t), &n))
        return false;
    for (uoffset_t i = 0; i < n; i++) {
        const Table *e = table_at(w, cursor, i);
        if (!enter(w, e) || !walk_value(w, e, entry::VT_VALUE_TYPE, entry::VT_VALUE) || !leave(w))
            return false;
    }
    return true;
}

bool walk_filters(vector_walk *w, const Table *t, voffset_t field)
{
    const uint8_t *wrapper;
    if (!follow(w, t, field, &wrapper))
        return false;
    return !wrapper || walk_wrapper(w, reinterpret_cast<const Table *>(wrapper));
}

/* ---- the roots ---- */

const Table *walk_root(vector_walk *w)
{
    uoffset_t o = w->verifier.VerifyOffset(0);
    auto t = o ? reinterpret_cast<const Table *>(w->p + o) : nullptr;
    return enter(w, t) ? t : nullptr;
}

/* The table behind a field, entered; NULL: absent. */
bool walk_into(vector_walk *w, const Table *t, voffset_t field, const Table **to)
{
    const uint8_t *data;
    if (!follow(w, t, field, &data))
        return false;
    *to = reinterpret_cast<const Table *>(data);
    return !data || enter(w, *to);
}

bool walk(vector_walk *w, const SqlSchema::StreamingSqlDataFilter *)
{
    using query = SqlSchema::StreamingSqlDataFilter;
    const Table *t = walk_root(w);
    return t && walk_filters(w, t, query::VT_WRAPPER) && walk_cursor(w, t, query::VT_CURSOR);
}

bool walk(vector_walk *w, const SqlRpc::RequestEnvelope *)
{
    using request = SqlRpc::RequestEnvelope;
    using get = SqlRpc::GetDataReq;
    const Table *t = walk_root(w), *payload;
    uint8_t type;
    if (!t || !read_type(w, t, request::VT_PAYLOAD_TYPE, &type))
        return false;
    if (type != SqlRpc::RpcPayload_GetDataReq && type != SqlRpc::RpcPayload_RunAggregationReq)
        return true;
    if (!walk_into(w, t, request::VT_PAYLOAD, &payload) || !payload)
        return false;
    if (type == SqlRpc::RpcPayload_RunAggregationReq)
        return walk_filters(w, payload, SqlRpc::RunAggregationReq::VT_WRAPPER);
    return walk_filters(w, payload, get::VT_WRAPPER) && walk_cursor(w, payload, get::VT_CURSOR);
}

bool walk(vector_walk *w, const SqlRpc::ResponseEnvelope *)
{
    using reply = SqlRpc::ResponseEnvelope;
    const Table *t = walk_root(w), *data;
    uint8_t type;
    if (!t || !read_type(w, t, reply::VT_DATA_TYPE, &type))
        return false;
    if (type != SqlRpc::RpcResponse_RowsWithCursor)
        return true;
    if (!walk_into(w, t, reply::VT_DATA, &data))
        return false;
    return !data || walk_cursor(w, data, SqlRpc::RowsWithCursor::VT_CURSOR);
}

} // namespace

#endif
