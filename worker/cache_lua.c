/* The three scripts of the hot cache, and how their arguments are put together. Each touches
 * nothing but KEYS. */
#include <stdlib.h>
#include "worker/cache_priv.h"

/*
 * Take, keep or give up leases, and hear how far each partition is written.
 * KEYS: per partition its lease and its topic's hash. ARGV: owner, TTL in ms, wall clock in ms; per
 * partition: field, what is wanted (take, force, peek, give), our lease's text or "", first offset
 * we have. Answer: per partition our lease's text or "", the position or "", and 0 nobody has the
 * lease, 1 somebody, 2 one of the keys is none of ours.
 */
struct hg_redis_script hg_cache_lua_tend = {
    .source = "local out = {}\n"
              "local function tend(lease, hash, field, want, mine, from)\n"
              "  local held, pos = redis.pcall('GET', lease), redis.pcall('HGET', hash, field)\n"
              "  if type(held) == 'table' or type(pos) == 'table' then return '', '', 2 end\n"
              "  held, pos = held or '', pos or ''\n"
              "  if held ~= '' and held == mine then\n"
              "    if want == 'give' then\n"
              "      redis.call('DEL', lease)\n"
              "      return '', pos, 0\n"
              "    end\n"
              "    redis.call('PEXPIRE', lease, ARGV[2])\n"
              "    return held, pos, 1\n"
              "  end\n"
              "  if held ~= '' then return '', pos, 1 end\n"
              "  local have = tonumber(string.match(pos, '^(%d+)') or from)\n"
              "  if want ~= 'force' and (want ~= 'take' or have < tonumber(from)) then\n"
              "    return '', pos, 0\n"
              "  end\n"
              "  local token = tonumber(string.match(pos, '(%d+)$') or 0) + 1\n"
              "  if token < tonumber(ARGV[3]) then token = tonumber(ARGV[3]) end\n"
              "  local ours = string.format('%.0f', token) .. ' ' .. ARGV[1]\n"
              "  redis.call('SET', lease, ours, 'PX', ARGV[2])\n"
              "  return ours, pos, 1\n"
              "end\n"
              "for i = 1, #KEYS / 2 do\n"
              "  local a = 4 * i\n"
              "  out[3 * i - 2], out[3 * i - 1], out[3 * i] = tend(KEYS[2 * i - 1], KEYS[2 * i],\n"
              "    ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3])\n"
              "end\n"
              "return out\n",
};

/*
 * One batch of one partition. KEYS: lease, hash, then a list per entry. ARGV: our lease's text, TTL
 * in ms, field, position as we know it or "", position after the batch, the same if an entry
 * could not be written, entries per list (0: all), retention in ms (0: for ever); then an entry per
 * list. The position is written first: it fails where anything would (READONLY, OOM), and then
 * nothing has happened. A list that ends above its first new entry has a key of several partitions:
 * since is raised to there (rule 5), unless the entry is a repeat of one near the end. Answer: {0}
 * not our lease; {1} the position is another one; {2, written, wrong type, failed, raised?}.
 */
struct hg_redis_script hg_cache_lua_write = {
    .source =
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0} end\n"
        "if (redis.call('HGET', KEYS[2], ARGV[3]) or '') ~= ARGV[4] then return {1} end\n"
        "redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])\n"
        "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
        "local function above(a, b)\n"
        "  if #a ~= #b then return #a > #b end\n"
        "  return a > b\n"
        "end\n"
        "local function lsn_of(text) return string.match(text, '^{\"lsn\":\"0*(%d+)\",') end\n"
        "local function is_near(key, text)\n"
        "  for _, near in ipairs(redis.call('LRANGE', key, -100, -1)) do\n"
        "    if near == text then return true end\n"
        "  end\n"
        "end\n"
        "local highest, touched = '0', {}\n"
        "local function look(key, text)\n"
        "  if touched[key] then return end\n"
        "  touched[key] = true\n"
        "  local last = redis.pcall('LINDEX', key, -1)\n"
        "  last = type(last) == 'string' and lsn_of(last)\n"
        "  if last and above(last, highest) and above(last, lsn_of(text))\n"
        "    and not is_near(key, text) then highest = last end\n"
        "end\n"
        "local wrong, failed, seen, lists = 0, 0, {}, {}\n"
        "for i = 3, #KEYS do\n"
        "  look(KEYS[i], ARGV[i + 6])\n"
        "  local r = redis.pcall('RPUSH', KEYS[i], ARGV[i + 6])\n"
        "  if type(r) ~= 'table' then\n"
        "    if not seen[KEYS[i]] then\n"
        "      seen[KEYS[i]] = true\n"
        "      lists[#lists + 1] = KEYS[i]\n"
        "    end\n"
        "  elseif string.sub(r.err, 1, 9) == 'WRONGTYPE' then\n"
        "    wrong = wrong + 1\n"
        "  else\n"
        "    failed = failed + 1\n"
        "  end\n"
        "end\n"
        "for i = 1, #lists do\n"
        "  if ARGV[7] ~= '0' then redis.call('LTRIM', lists[i], '-' .. ARGV[7], -1) end\n"
        "  if ARGV[8] ~= '0' then\n"
        "    redis.call('PEXPIRE', lists[i], ARGV[8])\n"
        "  else\n"
        "    redis.call('PERSIST', lists[i])\n"
        "  end\n"
        "end\n"
        "local pos = failed > 0 and ARGV[6] or ARGV[5]\n"
        "local next, since, token = string.match(pos, '^(%d+) (%d+) (%d+)$')\n"
        "local raised = above(highest, since)\n"
        "if raised then pos = next .. ' ' .. highest .. ' ' .. token end\n"
        "if pos ~= ARGV[5] and type(redis.pcall('HSET', KEYS[2], ARGV[3], pos)) == 'table' then\n"
        "  redis.call('HDEL', KEYS[2], ARGV[3])\n"
        "end\n"
        "return {2, #KEYS - 2 - wrong - failed, wrong, failed, raised and 1 or 0}\n",
};

/*
 * A list from its end back to the first entry with an LSN <= ours, and the positions before it.
 * KEYS: list, then a hash per topic. ARGV: LSN, most bytes, most entries. Answer: {reached?,
 * hashes, entries, newest first}; reached: 1 met such an entry, 0 did not (or met what is no entry,
 * or too much). LSNs are compared as text: they do not fit Lua's doubles.
 */
struct hg_redis_script hg_cache_lua_after = {
    .source = "local function above(a, b)\n"
              "  if #a ~= #b then return #a > #b end\n"
              "  return a > b\n"
              "end\n"
              "local hashes, out, bytes = {}, {}, 0\n"
              "for i = 2, #KEYS do hashes[i - 1] = redis.call('HGETALL', KEYS[i]) end\n"
              "local at = redis.call('LLEN', KEYS[1])\n"
              "while at > 0 do\n"
              "  local from = math.max(at - 100, 0)\n"
              "  local chunk = redis.call('LRANGE', KEYS[1], from, at - 1)\n"
              "  for i = #chunk, 1, -1 do\n"
              "    local lsn = string.match(chunk[i], '^{\"lsn\":\"(%d+)\",')\n"
              "    if not lsn then return {0, hashes, {}} end\n"
              "    lsn = string.match(lsn, '^0*(%d+)$')\n"
              "    if not above(lsn, ARGV[1]) then return {1, hashes, out} end\n"
              "    bytes = bytes + #chunk[i]\n"
              "    out[#out + 1] = chunk[i]\n"
              "    if bytes > tonumber(ARGV[2]) or #out > tonumber(ARGV[3]) then\n"
              "      return {0, hashes, {}}\n"
              "    end\n"
              "  end\n"
              "  at = from\n"
              "end\n"
              "return {0, hashes, {}}\n",
};

/* ---- arguments ---- */

struct hg_cache_args *hg_cache_args_begin(struct hg_cache *ca)
{
    hg_buf_reset(&ca->args.text);
    ca->args.n = 0;
    return &ca->args;
}

void hg_cache_args_end(struct hg_cache_args *args)
{
    if (args->n == args->cap) {
        args->cap = args->cap ? 2 * args->cap : 64;
        args->ends = hg_realloc(args->ends, (size_t)args->cap * sizeof *args->ends);
        args->argv = hg_realloc(args->argv, (size_t)args->cap * sizeof *args->argv);
    }
    args->ends[args->n++] = args->text.n;
}

int hg_cache_run(struct hg_cache *ca, struct hg_redis_script *script, int nkeys,
                 hg_redis_reply_fn fn, void *ctx)
{
    struct hg_cache_args *args = &ca->args;
    size_t at = 0;

    for (int i = 0; i < args->n; i++) {
        args->argv[i] = hg_slice_of(args->text.p + at, args->ends[i] - at);
        at = args->ends[i];
    }
    return hg_redis_eval(ca->link, script, nkeys, args->argv, args->n, fn, ctx);
}

void hg_cache_args_fini(struct hg_cache_args *args)
{
    hg_buf_fini(&args->text);
    free(args->ends);
    free(args->argv);
}
