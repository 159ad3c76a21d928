/*
 * The registry's only script: what happens in Redis, each verb in one step. Text only.
 *
 * ARGV: the verb, registry_prefix, the member that speaks, its lease in milliseconds, and then
 *
 *   join    query...             a letter each: o beside others, f the first, c another closes it;
 *                                or "!": this member has no lease
 *   leave   token told query     "close": it was the last and is to close the query;
 *                                "held": others have it; "closing": another closes it
 *   closed  token ok query       the tombstone with this token is in the log (ok 1) or is not
 *   tick    token how limit      renews the lease (how "renew") or takes one ("hello"), and sweeps
 *                                up to limit queries: {epoch, 1 if there are more, query...}, which
 *                                the caller is to close; or "!": nothing to renew
 *
 * What stands in Redis, behind the prefix:
 *
 *   leases     sorted set  member -> when its lease ends (milliseconds of Redis' clock)
 *   q:<query>  set         members that hold this query
 *   m:<member> set         queries that this member holds, for the sweep
 *   dead       set         members whose lease ran out and whose queries are being swept
 *   closing    sorted set  query -> when its mark `closing` runs out
 *   closer     hash        query -> tokens of those closing it, a space between; one but for a member
 *                          that lost its place, entered anew while another closed, and left
 *   epoch      string      made anew when Redis has lost everything
 *
 * One script rather than one per verb: the server has all of it or nothing, so that a verb sent
 * after the answer to the first tick cannot overtake another (redis.h on hg_redis_eval).
 */
#ifndef HG_WORKER_REGISTRY_LUA_H
#define HG_WORKER_REGISTRY_LUA_H

#include "worker/redis.h"

extern struct hg_redis_script hg_registry_lua;

#endif
