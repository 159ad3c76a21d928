// What the gateway builds, judged and read by the official FlatBuffers library alone (query_gen.h).
#include "sql_protocol_generated.h"

#include <stdlib.h>
#include <string.h>

#define _Noreturn [[noreturn]]
extern "C" {
#include "tests/support/query_gen.h"
}
#undef _Noreturn

namespace
{

// The library wants the buffer at an aligned address; malloc's are.
struct copy {
    void *p;
    copy(const void *bytes, size_t n) : p(malloc(n + 1))
    {
        memcpy(p, bytes, n);
    }
    ~copy()
    {
        free(p);
    }
};

template <typename T> bool verify(const void *bytes, size_t n)
{
    copy own(bytes, n);
    flatbuffers::Verifier v(static_cast<const uint8_t *>(own.p), n, 256, 1000000);
    return v.VerifyBuffer<T>(nullptr);
}

} // namespace

extern "C" {

bool fb_verify_query(const void *bytes, size_t n)
{
    return verify<SqlSchema::StreamingSqlDataFilter>(bytes, n);
}

bool fb_verify_request(const void *bytes, size_t n)
{
    return verify<SqlRpc::RequestEnvelope>(bytes, n);
}

bool fb_request_limits(const void *bytes, size_t n, uint32_t *limit, uint32_t *offset,
                       bool *strict_after)
{
    copy own(bytes, n);
    auto e = flatbuffers::GetRoot<SqlRpc::RequestEnvelope>(own.p);
    auto get = e->method() == SqlRpc::RpcMethod_GET_DATA ? e->payload_as_GetDataReq() : nullptr;
    if (!get)
        return false;
    *limit = get->limit();
    *offset = get->offset();
    *strict_after = get->strict_after();
    return true;
}

} // extern "C"
