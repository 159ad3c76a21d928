// Small helpers around the DOM. Text always goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

/** An element: el('td', { class: 'num', title: 'x' }, 'text', child). Keys starting with "on" are listeners. */
export function el(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (v === undefined || v === null || v === false) continue;
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (k in e && typeof v !== 'string') e[k] = v;
    else e.setAttribute(k, v === true ? '' : v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

/** Calls fn once in the next frame, however often it is asked before. */
export function once(fn) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; fn(); });
  };
}

let hide;
/** One line at the bottom, read out by screen readers. */
export function notice(text, bad = false) {
  const n = document.getElementById('notice');
  n.textContent = text;
  n.dataset.bad = bad;
  n.dataset.shown = true;
  clearTimeout(hide);
  hide = setTimeout(() => { n.dataset.shown = false; }, 6000);
}

export function bytes(n) {
  return n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KB` : `${(n / 1048576).toFixed(1)} MB`;
}

export const clock = (d = new Date()) => d.toTimeString().slice(0, 8);
