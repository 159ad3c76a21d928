// The console page: wires the connection, the live queries, the rooms and the log together.
import { $, el, notice, clock, bytes } from './dom.js';
import { Gateway } from './gateway.js';
import { LiveQuery, untag, parseDiff } from './live.js';
import { QueryTable } from './table.js';
import { FrameLog } from './log.js';

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
const gateway = new Gateway(`${scheme}//${location.host}/`);
const log = new FrameLog();
const queries = new Map(); // "table\0hashId" -> { query, table }
const rooms = new Set();

// ---- live queries ----

const equals = (field, value) => ({ field_name: field, filter_type: 'equals', value });
const by = (...fields) => [...fields.map((field) => ({ field, sort: 'ASC_DEFAULT' })), { field: 'id', sort: 'ASC_DEFAULT', is_pk: true }];
const PRESETS = [
  { name: 'Open tasks, most urgent first', table: 'tasks', hashId: 'open-tasks',
    query: { limit: 50, wrapper: { filter_wrapper_type: 'and', filters: [equals('done', { BoolValue: { value: false } })] }, order: by('priority') } },
  { name: 'Urgent tasks (priority 1 or 2)', table: 'tasks', hashId: 'urgent-tasks',
    query: { limit: 50, wrapper: { filter_wrapper_type: 'and', filters: [{ field_name: 'priority', filter_type: 'lessThanOrEquals', value: { Int64Value: { value: '2' } } }] }, order: by('priority') } },
  { name: 'All tasks', table: 'tasks', hashId: 'all-tasks', query: { limit: 500, order: by() } },
];

function showPreset() {
  const p = PRESETS[$('preset').value];
  $('table').value = p.table;
  $('hash').value = p.hashId;
  $('query').value = JSON.stringify(p.query, null, 2);
  $('query-error').textContent = '';
}

/** Two different queries must not share an id: whoever edits the query gets an id made from its text. */
function hashOf(text) {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return `q-${(h >>> 0).toString(16).padStart(8, '0')}`;
}

function checkedQuery() {
  const text = $('query').value.trim();
  if (!text) return '{}';
  const q = JSON.parse(text);
  if (q === null || typeof q !== 'object' || Array.isArray(q)) throw new Error('an object is wanted');
  return JSON.stringify(q);
}

const keyOf = (table, hashId) => `${table}\0${hashId}`;
const find = (m) => [...queries.values()].find(({ query }) => query.hashId === m.hashId && (m.table === undefined || m.table === query.table));

function subscribe(query) {
  query.state = gateway.send(query.message) ? 'asking' : 'waiting';
}

function addQuery(e) {
  e.preventDefault();
  let json;
  try { json = checkedQuery(); } catch (err) { $('query-error').textContent = `Not JSON: ${err.message}`; $('query').focus(); return; }
  $('query-error').textContent = '';
  const query = new LiveQuery($('table').value.trim(), $('hash').value.trim(), json), key = keyOf(query.table, query.hashId);
  queries.get(key)?.table.remove();
  const table = new QueryTable(query, handlers);
  queries.set(key, { query, table });
  $('live').prepend(table.root);
  $('no-queries').hidden = true;
  $('ask').open = false;
  subscribe(query);
}

function dropQuery(query) {
  const key = keyOf(query.table, query.hashId);
  gateway.send({ op: 'unsubscribe', table: query.table, hashId: query.hashId });
  queries.get(key).table.remove();
  queries.delete(key);
  $('no-queries').hidden = queries.size > 0;
  if (!queries.size) $('ask').open = true;
  $('queries').focus();
}

async function save(query, pk, column, value) {
  try {
    const done = await gateway.call('UPDATE_SINGLE', query.table, { primaryKeyColumn: query.pk, primaryId: pk, updates: { [column]: value } });
    if (done === false) throw new Error('there is no such row any more');
    notice(`Saved ${column} of row ${pk}.`);
  } catch (e) {
    notice(`${column} of row ${pk} was not saved: ${e.message}`, true);
    throw e;
  }
}

const handlers = {
  unsubscribe: dropQuery,
  retry: (query) => { subscribe(query); find(query).table.draw(); },
  save,
  complain: (text) => notice(text, true),
};

function onError(m) {
  const hit = m.hashId === undefined ? undefined : find(m);
  if (m.code === 'overflow') {
    // The gateway gave up sending what we could not take; the snapshot mends it. Without hashId it means all of ours.
    for (const { query, table } of hit ? [hit] : queries.values()) { subscribe(query); query.state = 'overflow'; table.draw(); }
  } else if (hit) {
    hit.query.state = 'failed';
    hit.query.why = `${m.code}: ${m.detail ?? m.message}`;
    hit.table.draw();
  } else {
    notice(`${m.code}: ${m.detail ?? m.message}`, true);
  }
}

const decode64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));

function onOp(m) {
  const hit = m.hashId === undefined ? undefined : find(m);
  switch (m.op) {
    case 'ack': hit?.query.onAck(m); break;
    case 'snapshot': hit?.query.onSnapshot(m); break;
    case 'diffB64': { const d = hit && parseDiff(decode64(m.b64)); if (d) hit.query.onDiff(d); break; }
    case 'rowEvent': if (hit && m.event?.kind && m.event?.pk !== undefined) hit.query.onDiff(m.event); break;
    case 'error': onError(m); return;
    case 'joined': rooms.add(m.room); showRooms(); return;
    case 'left': rooms.delete(m.room); showRooms(); return;
    default: return;
  }
  hit?.table.draw();
}

/** A diff of one of our queries? Tagged frames say whose; a raw one is clear only when there is one query. */
function onBinary(b) {
  const t = untag(b);
  let hit = t && [...queries.values()].find(({ query }) => query.sub === t.sub);
  if (!hit && queries.size === 1) hit = [...queries.values()].find(({ query }) => query.sub === undefined);
  const d = hit && parseDiff(t && hit.query.sub === t.sub ? t.payload : b);
  if (!d) return false;
  hit.query.onDiff(d);
  hit.table.draw();
  return true;
}

// ---- the connection ----

const STATE_TEXT = { connecting: 'Connecting', open: 'Connected', waiting: 'Reconnecting', stopped: 'Closed for good' };

function onState({ state, seconds, why }) {
  $('connection').dataset.state = state;
  $('connection-text').textContent = STATE_TEXT[state] + (state === 'waiting' && seconds >= 1 ? ` in ${Math.ceil(seconds)} s` : '') + (why ? ` (${why})` : '');
  if (state === 'open') {
    for (const room of rooms) gateway.send({ op: 'join', room });
    for (const { query, table } of queries.values()) { subscribe(query); table.draw(); }
    return;
  }
  for (const id of ['worker', 'host', 'connection-id', 'clients', 'latency']) $(id).textContent = '–';
  delete $('worker').dataset.worker;
  for (const { query, table } of queries.values()) { query.state = 'waiting'; query.sub = undefined; table.draw(); }
}

let clients = 0;
function onTyped(m) {
  if (m.type === 'welcome') {
    clients = m.data?.connectedClients ?? 0;
    $('connection-id').textContent = m.data?.connectionId ?? '–';
    $('connection-id').title = m.data?.connectionId ?? '';
    $('worker').textContent = m.data?.worker ?? '–';
    if (m.data?.worker !== undefined) $('worker').dataset.worker = Number(m.data.worker) % 6;
    $('host').textContent = m.data?.host ?? '–';
    document.title = m.data?.worker === undefined ? 'headgate console' : `worker ${m.data.worker} · headgate console`;
  } else if (m.type === 'user_joined') {
    clients++;
  } else if (m.type === 'user_left') {
    clients--;
  } else if (m.type === 'broadcast_message') {
    addBroadcast(`${m.data?.from}: ${typeof m.data?.message === 'string' ? m.data.message : JSON.stringify(m.data?.message)}`);
  } else if (m.type === 'error') {
    notice(m.data?.message ?? 'error', true);
  }
  $('clients').textContent = clients > 0 ? clients : '–';
}

const pings = [];
function onLatency(ms) {
  pings.push(ms);
  if (pings.length > 32) pings.shift();
  $('latency').textContent = `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const top = Math.max(...pings, 1);
  $('spark').firstElementChild.setAttribute('points', pings.map((v, i) => `${(i * 64) / 31},${17 - (v / top) * 15}`).join(' '));
}

// ---- rooms and broadcasts ----

function showRooms() {
  $('rooms').replaceChildren(...[...rooms].map((room) => el('li', {}, room,
    el('button', { type: 'button', 'aria-label': `Leave room ${room}`, onclick: () => gateway.send({ op: 'leave', room }) || notice('Not connected.', true) }, '×'))));
}

function addBroadcast(text) {
  const list = $('broadcasts');
  list.prepend(el('li', {}, el('time', {}, clock()), el('span', {}, text.length > 2000 ? `${text.slice(0, 2000)}…` : text)));
  while (list.childElementCount > 50) list.lastElementChild.remove();
  $('no-broadcasts').hidden = true;
}

function showTarget() {
  const to = $('target').value;
  $('target-name-label').hidden = to === 'all';
  $('target-label').textContent = to === 'path' ? 'Path' : 'Room';
  $('target-name').required = to !== 'all';
  if (to === 'path') $('target-name').value = '/';
  if (to === 'room') $('target-name').value = $('room').value;
}

function publish(e) {
  e.preventDefault();
  const to = $('target').value;
  const m = { op: 'publish', ...(to === 'all' ? {} : { [to]: $('target-name').value }), text: $('message').value, ...($('exclude-self').checked ? { excludeSelf: true } : {}) };
  if (!gateway.send(m)) notice('Not connected.', true);
}

// ---- start ----

$('preset').append(...PRESETS.map((p, i) => el('option', { value: String(i) }, p.name)));
$('preset').addEventListener('change', showPreset);
$('query').addEventListener('input', () => { $('hash').value = hashOf($('query').value); });
$('subscribe').addEventListener('submit', addQuery);
$('join').addEventListener('submit', (e) => {
  e.preventDefault();
  if (!gateway.send({ op: 'join', room: $('room').value })) notice('Not connected.', true);
});
$('publish').addEventListener('submit', publish);
$('target').addEventListener('change', showTarget);
$('reconnect').addEventListener('click', () => gateway.reconnect());
gateway.addEventListener('state', (e) => onState(e.detail));
gateway.addEventListener('typed', (e) => onTyped(e.detail));
gateway.addEventListener('op', (e) => onOp(e.detail));
gateway.addEventListener('latency', (e) => onLatency(e.detail));
gateway.addEventListener('frame', (e) => log.add(e.detail));
gateway.addEventListener('broadcast', (e) => addBroadcast(e.detail.text ?? `${bytes(e.detail.bytes.length)} of bytes`));
gateway.addEventListener('binary', (e) => { if (onBinary(e.detail)) e.preventDefault(); });
showPreset();
showTarget();
gateway.connect();
