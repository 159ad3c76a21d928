// A live query on the page: its heading, its state and its rows; a cell is edited where it stands.
import { el, once, clock } from './dom.js';

const READ_ONLY = new Set(['company_id', 'updated_at']);
const HIDDEN = new Set(['company_id']);
const STATES = {
  asking: 'asking', attached: 'attached, waiting for the snapshot', live: 'live', overflow: 'fell behind, subscribing again', failed: 'failed', waiting: 'waiting for the connection',
};

function shown(column, v) {
  if (v === null || v === undefined) return '';
  if (column.endsWith('_at') && Number.isInteger(v) && v > 1e14) {
    const d = new Date(v / 1000);
    return `${d.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })} ${clock(d)}`;
  }
  return typeof v === 'object' ? JSON.stringify(v) : String(v);
}

/** The text of an input as the kind of value the cell had. */
function typed(text, old) {
  if (text === '' && old === null) return null;
  if (typeof old === 'number') {
    const n = Number(text);
    if (text.trim() === '' || !Number.isFinite(n)) throw new Error('a number is wanted');
    return n;
  }
  return text;
}

export class QueryTable {
  /** handlers: unsubscribe(query), retry(query), save(query, pk, column, value) -> Promise. */
  constructor(query, handlers) {
    this.query = query;
    this.handlers = handlers;
    this.trs = new Map(); // key -> { tr, cells: Map(column -> td), row }
    this.columns = [];
    this.draw = once(() => this.render());
    this.build();
    this.draw();
  }

  build() {
    const q = this.query, title = `${q.table} · ${q.hashId}`;
    this.state = el('span', { class: 'state', role: 'status' });
    this.facts = el('span', { class: 'muted facts-line' });
    this.retry = el('button', { type: 'button', class: 'small', hidden: true, onclick: () => this.handlers.retry(q) }, 'Try again');
    this.thead = el('thead');
    this.tbody = el('tbody');
    this.root = el('article', { class: 'card live', 'aria-label': `Live query ${title}`, 'data-hash': q.hashId },
      el('div', { class: 'head' },
        el('h2', {}, q.table, el('span', { class: 'muted' }, ` ${q.hashId}`)), this.state, this.retry,
        el('button', { type: 'button', class: 'quiet small unsubscribe', 'aria-label': `Unsubscribe from ${title}`, onclick: () => this.handlers.unsubscribe(q) }, 'Unsubscribe')),
      this.facts,
      el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `Rows of ${title}` }, el('table', {}, this.thead, this.tbody)));
  }

  remove() { this.root.remove(); }

  render() {
    const q = this.query;
    this.state.textContent = STATES[q.state] + (q.why && q.state !== 'live' ? `: ${q.why}` : '');
    this.state.dataset.state = q.state;
    this.retry.hidden = q.state !== 'failed';
    const rows = q.sorted();
    this.facts.textContent = q.state === 'live' ? `${rows.length} rows · ${q.diffs} diffs · LSN ${q.lsn}` : '';
    this.renderColumns(rows);
    this.renderRows(rows);
    q.changed.clear();
  }

  renderColumns(rows) {
    const columns = rows.length ? Object.keys(rows[0][1].row).filter((c) => !HIDDEN.has(c)) : this.columns;
    if (columns.join('\0') === this.columns.join('\0')) return;
    this.columns = columns;
    this.trs.clear();
    this.tbody.replaceChildren();
    this.thead.replaceChildren(el('tr', {}, ...columns.map((c) => el('th', { scope: 'col' }, c))));
  }

  renderRows(rows) {
    const keep = new Set(rows.map(([key]) => key));
    for (const [key, r] of this.trs) {
      if (keep.has(key)) continue;
      if (r.tr.contains(document.activeElement)) this.root.querySelector('.scroll').focus();
      r.tr.remove();
      this.trs.delete(key);
    }
    let at = this.tbody.firstElementChild;
    for (const [key, { row }] of rows) {
      const r = this.trs.get(key) ?? this.addRow(key);
      this.fill(key, r, row);
      if (r.tr === at) at = at.nextElementSibling;
      else this.move(r.tr, at);
      this.flash(r.tr, this.query.changed.get(key));
    }
  }

  /** Moving a node drops its focus: give it back. */
  move(tr, before) {
    const focus = tr.contains(document.activeElement) ? document.activeElement : undefined;
    this.moving = true;
    this.tbody.insertBefore(tr, before);
    focus?.focus();
    this.moving = false;
  }

  flash(tr, kind) {
    if (!kind) return;
    tr.classList.remove('added', 'modified');
    void tr.offsetWidth; // starts the animation anew
    tr.classList.add(kind);
  }

  addRow(key) {
    const cells = new Map(this.columns.map((c) => [c, el('td')]));
    const r = { tr: el('tr', { 'data-pk': key }, ...cells.values()), cells, row: {} };
    this.trs.set(key, r);
    return r;
  }

  fill(key, r, row) {
    const old = r.row, first = !r.filled;
    r.row = row;
    r.filled = true;
    for (const [column, td] of r.cells) {
      if (!first && Object.is(old[column], row[column])) continue;
      if (td.querySelector('input.edit')) continue; // somebody types here; the new value shows when that ends
      this.fillCell(key, td, column, row[column]);
    }
  }

  fillCell(key, td, column, v) {
    td.classList.toggle('num', typeof v === 'number' && !column.endsWith('_at'));
    if (column === this.query.pk || READ_ONLY.has(column) || (v !== null && typeof v === 'object')) {
      td.textContent = shown(column, v);
    } else if (typeof v === 'boolean') {
      td.replaceChildren(el('input', { type: 'checkbox', checked: v, 'aria-label': `${column} of row ${key}`,
        onchange: (e) => this.save(key, column, e.target.checked, () => { e.target.checked = v; }) }));
    } else {
      td.replaceChildren(el('button', { type: 'button', class: 'cell', 'aria-label': `${column} of row ${key}: ${shown(column, v) || 'empty'}. Edit`,
        onclick: () => this.edit(key, td, column) }, shown(column, v) || '\u00a0'));
    }
  }

  edit(key, td, column) {
    const v = this.trs.get(key).row[column];
    const input = el('input', { class: 'edit', type: 'text', inputmode: typeof v === 'number' ? 'decimal' : undefined, 'aria-label': `${column} of row ${key}` });
    input.value = v === null || v === undefined ? '' : String(v);
    const end = (commit, refocus) => {
      if (!input.isConnected || input.dataset.done) return;
      input.dataset.done = true;
      const text = input.value, before = v === null || v === undefined ? '' : String(v);
      this.fillCell(key, td, column, this.trs.get(key)?.row[column] ?? null);
      if (refocus) td.querySelector('button')?.focus();
      if (!commit || text === before) return;
      try { this.save(key, column, typed(text, v)); } catch (e) { this.handlers.complain(`${column} of row ${key}: ${e.message}`); }
    };
    input.addEventListener('keydown', (e) => {
      if (e.key === 'Enter') { e.preventDefault(); end(true, true); }
      if (e.key === 'Escape') end(false, true);
    });
    input.addEventListener('blur', () => { if (!this.moving) end(true, false); });
    td.replaceChildren(input);
    input.focus();
    input.select();
  }

  save(key, column, value, undo) {
    const tr = this.trs.get(key)?.tr;
    tr?.classList.add('saving');
    this.handlers.save(this.query, key, column, value).catch(() => undo?.()).finally(() => tr?.classList.remove('saving'));
  }
}
