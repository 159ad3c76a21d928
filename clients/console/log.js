// The log of frames: newest first, capped, drawn at most once per animation frame and not at all while paused.
import { $, el, once, bytes, clock } from './dom.js';
import { untag } from './live.js';

const KEEP = 200, SHOW = 400;
const PING = new Set(['{"op":"ping"}', '{"op":"pong"}']);
const decoder = new TextDecoder();

const cut = (s) => (s.length > SHOW ? `${s.slice(0, SHOW)}…` : s);

function describe(f) {
  if (f.kind === 'text') return cut(f.text);
  const t = untag(f.bytes);
  const body = decoder.decode((t?.payload ?? f.bytes).subarray(0, SHOW));
  return t ? `sub ${t.sub} · LSN ${t.lsn} · ${body}` : body;
}

export class FrameLog {
  constructor() {
    this.waiting = [];
    this.total = 0;
    this.draw = once(() => this.render());
    $('clear').addEventListener('click', () => { $('frames').replaceChildren(); this.waiting = []; this.total = 0; this.draw(); });
    $('pause').addEventListener('change', this.draw);
  }

  add(f) {
    if (f.kind === 'text' && PING.has(f.text) && !$('pings').checked) return;
    this.total++;
    this.waiting.push({ ...f, at: clock() });
    if (this.waiting.length > KEEP) this.waiting.shift();
    this.draw();
  }

  render() {
    $('frame-count').textContent = this.total ? `${this.total}` : '';
    if ($('pause').checked) return;
    const list = $('frames');
    list.prepend(...this.waiting.reverse().map((f) => el('li', { class: f.out ? 'out' : 'in' },
      el('span', { class: 'dir', 'aria-label': f.out ? 'sent' : 'received' }, f.out ? '↑' : '↓'),
      el('time', {}, f.at), el('span', { class: `kind ${f.kind}` }, f.kind === 'text' ? 'text' : 'bin'),
      el('span', { class: 'muted size' }, bytes(f.size)), el('code', {}, describe(f)))));
    this.waiting = [];
    while (list.childElementCount > KEEP) list.lastElementChild.remove();
  }
}
