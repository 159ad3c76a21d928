// A live query: the rows of its snapshot, kept up to date by diffs. No DOM here.
//
// The snapshot may already contain what the next diffs say, and a diff may come twice: applying is idempotent. A row
// remembers the LSN of its last change; an older one is passed over.

/** A tagged binary frame: 24 bytes of head, big-endian, then the payload. */
export function untag(b) {
  if (b.length < 24 || b[0] !== 1) return undefined;
  const v = new DataView(b.buffer, b.byteOffset, b.byteLength);
  return { kind: b[1], sub: v.getUint32(4), lsn: v.getBigUint64(8), offset: v.getBigUint64(16), payload: b.subarray(24) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
export function parseDiff(payload) {
  try {
    const d = JSON.parse(utf8.decode(payload));
    return d && typeof d.kind === 'string' && d.pk !== undefined ? d : undefined;
  } catch { return undefined; }
}

function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'boolean' && typeof b === 'boolean') return a - b;
  const x = String(a), y = String(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The order of the query as a comparator; nulls last ascending and first descending unless told, then the key. */
function comparator(order, pk) {
  const keys = [...order, { field: pk, sort: 'ASC_DEFAULT' }];
  return (a, b) => {
    for (const { field, sort = 'DESC_DEFAULT' } of keys) {
      const desc = sort.startsWith('DESC'), x = a[field] ?? null, y = b[field] ?? null;
      const nullsFirst = sort.endsWith('NULLS_FIRST') || (desc && !sort.endsWith('NULLS_LAST'));
      if (x === null || y === null) {
        if (x !== y) return (x === null) === nullsFirst ? -1 : 1;
        continue;
      }
      const c = compare(x, y);
      if (c) return desc ? -c : c;
    }
    return 0;
  };
}

export class LiveQuery {
  constructor(table, hashId, queryJson) {
    Object.assign(this, { table, hashId, queryJson, state: 'asking', sub: undefined, lsn: 0n, diffs: 0, why: '' });
    const q = queryJson ? JSON.parse(queryJson) : {};
    const order = Array.isArray(q.order) ? q.order.filter((o) => typeof o?.field === 'string') : [];
    this.pk = order.find((o) => o.is_pk)?.field ?? 'id';
    this.limit = Number.isInteger(q.limit) && q.limit > 0 ? q.limit : Infinity;
    this.compare = comparator(order, this.pk);
    this.rows = new Map(); // key as text -> { row, lsn }
    this.changed = new Map(); // key -> kind, since the last draw
  }

  get message() {
    return { op: 'subscribe', table: this.table, hashId: this.hashId, frame: 'tagged', ...(this.queryJson ? { queryJson: this.queryJson } : { queryJson: '{}' }) };
  }

  onAck(m) {
    this.sub = m.sub;
    this.state = 'attached';
    this.why = '';
  }

  onSnapshot(m) {
    this.rows.clear();
    this.changed.clear();
    this.lsn = BigInt(m.cursor?.lsn ?? 0);
    for (const row of m.rows ?? []) this.rows.set(String(row[this.pk]), { row, lsn: 0n });
    this.state = 'live';
    this.why = m.reason ?? '';
  }

  onDiff(d) {
    const key = String(d.pk), lsn = BigInt(d.lsn ?? 0), known = this.rows.get(key);
    this.diffs++;
    if (lsn > this.lsn) this.lsn = lsn;
    if (known && lsn < known.lsn) return;
    if (d.kind === 'removed') this.rows.delete(key);
    else if (d.row) this.rows.set(key, { row: d.row, lsn });
    this.changed.set(key, d.kind);
  }

  /** The rows as the query orders them. Diffs know the filter, not the window: the limit is applied here. */
  sorted() {
    return [...this.rows].sort((a, b) => this.compare(a[1].row, b[1].row)).slice(0, this.limit);
  }
}
