'use strict';
// The explorer of a sweep's page. All text goes into the page as text nodes, never as markup.
(() => {
  const D = JSON.parse(document.getElementById('data').textContent);
  const N = D.point.length;
  const $ = id => document.getElementById(id);
  if (!N) return;

  // --- elements and text -------------------------------------------------------------------------------------

  const SVG = 'http://www.w3.org/2000/svg';
  function fill(node, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === 'on') for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children.flat().filter(c => c !== null && c !== undefined));
    return node;
  }
  const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const sv = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

  const PREFIXES = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, ''], [1e-3, 'm'], [1e-6, 'µ'], [1e-9, 'n'], [1e-12, 'p']];
  const BINARY = [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [1024, 'KiB'], [1, 'B']];
  function digits(v) {
    if (v === 0 || !Number.isFinite(v)) return String(v);
    const places = Math.max(0, Math.min(20, 2 - Math.floor(Math.log10(Math.abs(v)))));
    const text = Number(v.toPrecision(3)).toFixed(places);
    return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
  }
  function quantity(v, unit) {
    if (v === null || v === undefined || Number.isNaN(v)) return '–';
    if (unit === '%') return digits(100 * v) + ' %';
    if (unit === 'bit') {
      if (Math.abs(v) < 8) return v === 0 ? '0' : digits(v) + ' bit';
      const [scale, name] = BINARY.find(p => Math.abs(v) / 8 >= p[0]);
      return digits(v / 8 / scale) + ' ' + name;
    }
    if (unit === 'mm²' || unit === 'mm2') return digits(v) + ' mm²';
    const size = Math.abs(v);
    if (!unit && size && size < 1e-3) return v.toExponential(2);
    if (size === 0 || (!unit && size < 1e4)) return (digits(v) + ' ' + unit).trim();
    const [scale, prefix] = PREFIXES.find(p => Number(size.toPrecision(3)) >= p[0]) || PREFIXES[8];
    return (digits(v / scale) + ' ' + prefix + unit).trim();
  }

  // --- fields: parameters and figures, one kind of thing to draw ---------------------------------------------

  // at[i] is where row i lies (NaN: it has no such value); log says whether a logarithmic axis is possible.
  const fields = [];
  const MANY = 24;
  function parameterField(p, index) {
    const spread = p.values !== null && p.levels.length > MANY;
    const at = p.column.map(level => level < 0 ? NaN : spread ? p.values[level] : level);
    const positive = spread && p.values.every(v => v > 0);
    return { kind: 'parameter', index, label: p.key, levels: p.levels, ordinal: !spread, at, log: positive, unit: '',
      ordered: p.values !== null, text: i => p.column[i] < 0 ? '–' : p.levels[p.column[i]], show: v => digits(v) };
  }
  function figureField(m, kind, index) {
    const at = m.column.map(v => v === null ? NaN : v);
    return { kind, index, label: m.label, at, log: at.every(v => !(v <= 0)), unit: m.unit, ordered: true,
      ordinal: false, maximize: m.maximize, text: i => quantity(m.column[i], m.unit), show: v => quantity(v, m.unit) };
  }
  const params = D.parameters.map(parameterField);
  const goals = D.objectives.map((o, i) => figureField(o, 'objective', i));
  const shown = new Set(D.objectives.map(o => o.metric));
  const others = D.metrics.map((m, i) => shown.has(i) ? null : figureField(m, 'figure', i)).filter(Boolean);
  fields.push(...goals, ...others, ...params);
  const onFront = new Uint8Array(N);
  D.front.forEach(i => { onFront[i] = 1; });

  // Points with the same position on an axis of levels would hide one another: they are set apart by their place.
  const jitter = (field, i) => field.ordinal ? (((i * 2654435761) % 1000) / 1000 - 0.5) * 0.5 : 0;

  function bounds(field) {
    let low = Infinity, high = -Infinity;
    for (const v of field.at) if (v === v) { if (v < low) low = v; if (v > high) high = v; }
    return low <= high ? [low, high] : [0, 1];
  }
  function wide(field) { const [low, high] = bounds(field); return field.log && high > 8 * low; }

  // --- scales ------------------------------------------------------------------------------------------------

  function scale(field, log, from, to) {
    let [low, high] = bounds(field);
    const turn = log && field.log ? Math.log10 : v => v;
    const back = log && field.log ? v => 10 ** v : v => v;
    let a = turn(low), b = turn(high);
    if (field.ordinal) { a -= 0.4; b += 0.4; } else if (a === b) {
      const room = log && field.log ? 0.1 : Math.abs(a) / 10 || 1; a -= room; b += room;
    } else { const room = (b - a) * 0.035; a -= room; b += room; }
    const to_ = v => from + (turn(v) - a) / (b - a) * (to - from);
    const of = px => back(a + (px - from) / (to - from) * (b - a));
    return { to: to_, of, ticks: ticks(field, log && field.log, back(a), back(b)) };
  }
  function ticks(field, log, low, high) {
    if (field.ordinal) {
      const every = Math.ceil(field.levels.length / 12);
      return field.levels.map((t, i) => [i, t]).filter(([i]) => i % every === 0);
    }
    const found = [];
    if (log) {
      const decades = Math.log10(high / low);
      const steps = decades > 4 ? [1] : decades > 1.5 ? [1, 3] : decades > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
      for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++)
        for (const s of steps) { const v = s * 10 ** e; if (v >= low && v <= high) found.push([v, field.show(v)]); }
      if (found.length > 1) return found;
      found.length = 0;
    }
    const raw = (high - low) / 6, unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map(s => s * unit).find(s => s >= raw);
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push([k * step, field.show(k * step)]);
    return found;
  }

  // --- state -------------------------------------------------------------------------------------------------

  const state = {
    x: 0, y: Math.min(1, fields.length - 1), colour: -1, xLog: false, yLog: false, frontOnly: false,
    levels: params.map(() => null), range: params.map(() => null), box: null, axes: new Map(),
    open: -1, held: -1, sort: 0, down: false, rows: 25,
  };
  const strongest = params.findIndex(p => p.label === D.strongest);
  state.colour = goals.length + others.length + Math.max(strongest, 0);
  if (!params.length) state.colour = 0;
  state.xLog = wide(fields[state.x]);
  state.yLog = wide(fields[state.y]);
  const kept = new Uint8Array(N);
  let keptCount = N;

  function inFilters(i) {
    for (let p = 0; p < params.length; p++) {
      const level = D.parameters[p].column[i];
      if (state.levels[p] && level >= 0 && !state.levels[p].has(level)) return false;
      const r = state.range[p];
      if (r && level >= 0 && (level < r[0] || level > r[1])) return false;
    }
    return !(state.frontOnly && !onFront[i]);
  }
  function inBrushes(i) {
    if (state.box) {
      const fx = fields[state.x], fy = fields[state.y], b = state.box;
      const x = fx.at[i] + jitter(fx, i), y = fy.at[i] + jitter(fy, i);
      if (!(x >= b.x[0] && x <= b.x[1] && y >= b.y[0] && y <= b.y[1])) return false;
    }
    for (const [axis, [low, high]] of state.axes) {
      const v = parallelFields[axis].at[i], room = parallelFields[axis].ordinal ? 0.25 : 0;
      if (!(v >= low - room && v <= high + room)) return false;
    }
    return true;
  }
  function choose() {
    keptCount = 0;
    for (let i = 0; i < N; i++) { kept[i] = inFilters(i) && inBrushes(i) ? 1 : 0; keptCount += kept[i]; }
  }

  // --- colours -----------------------------------------------------------------------------------------------

  let css = name => '';
  const toRgb = text => {
    const hex = text.trim().replace('#', '');
    return [0, 2, 4].map(k => parseInt(hex.slice(k, k + 2), 16));
  };
  let paints = [];
  function paint() {
    const style = getComputedStyle(document.documentElement);
    css = name => style.getPropertyValue(name);
    const field = fields[state.colour];
    const few = field.ordinal && !field.ordered;
    const hues = Array.from({ length: 10 }, (_, k) => css('--c' + k));
    const ramp = Array.from({ length: 5 }, (_, k) => toRgb(css('--r' + k)));
    const [low, high] = bounds(field), log = wide(field);
    const place = v => high > low ? log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low) : 0.5;
    const mixed = share => {
      const t = Math.max(0, Math.min(0.9999, share)) * 4, k = Math.floor(t);
      return 'rgb(' + ramp[k].map((c, j) => Math.round(c + (ramp[k + 1][j] - c) * (t - k))).join(',') + ')';
    };
    paints = field.at.map(v => v !== v ? css('--other') : few ? (v < 10 ? hues[v] : css('--other')) : mixed(place(v)));
    legend(field, few, hues, mixed, place);
  }
  function legend(field, few, hues, mixed, place) {
    const swatch = (colour, text) => {
      const dot = el('i'); dot.style.background = colour; return el('span', {}, dot, text);
    };
    const parts = [el('b', {}, field.label)];
    if (few) field.levels.slice(0, 11).forEach((t, k) => parts.push(swatch(k < 10 ? hues[k] : css('--other'), k < 10 ? t : 'others')));
    else if (field.ordinal) field.levels.forEach((t, k) => { if (field.levels.length <= 14) parts.push(swatch(mixed(place(k)), t)); });
    if (!few && !(field.ordinal && field.levels.length <= 14)) {
      const [low, high] = bounds(field);
      const end = v => field.ordinal ? field.levels[v] : field.show(v);
      parts.push(el('span', {}, end(low)), el('span', { class: 'ramp' }), el('span', {}, end(high)));
    }
    $('legend').replaceChildren(...parts, el('span', {}, '◯ on the front of all objectives'));
  }

  // --- a plot: a canvas for many marks, an SVG over it for few ones and for the pointer ------------------------

  function plot(id, label) {
    const host = $(id), canvas = el('canvas', { 'aria-hidden': 'true' });
    const over = sv('svg', { role: 'img', 'aria-label': label });
    host.append(canvas, over);
    return { host, canvas, over, pen: canvas.getContext('2d') };
  }
  function sized(p) {
    const w = p.host.clientWidth, h = p.host.clientHeight, ratio = window.devicePixelRatio || 1;
    p.canvas.width = Math.round(w * ratio); p.canvas.height = Math.round(h * ratio);
    p.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    p.pen.clearRect(0, 0, w, h);
    p.over.setAttribute('viewBox', `0 0 ${w} ${h}`);
    return [w, h];
  }
  const here = (p, event) => {
    const box = p.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  // --- scatter -----------------------------------------------------------------------------------------------

  const scatter = plot('scatter', 'Scatter of the points');
  const PAD = { left: 64, right: 14, top: 14, bottom: 44 };
  let sx, sy, px = new Float64Array(N), py = new Float64Array(N);

  function drawScatter() {
    const [w, h] = sized(scatter);
    const fx = fields[state.x], fy = fields[state.y];
    sx = scale(fx, state.xLog, PAD.left, w - PAD.right);
    sy = scale(fy, state.yLog, h - PAD.bottom, PAD.top);
    for (let i = 0; i < N; i++) { px[i] = sx.to(fx.at[i] + jitter(fx, i)); py[i] = sy.to(fy.at[i] + jitter(fy, i)); }
    const pen = scatter.pen, radius = N > 2000 ? 2.4 : N > 400 ? 3.2 : 4.2;
    const dots = which => {
      for (let i = 0; i < N; i++) if (kept[i] === which && px[i] === px[i] && py[i] === py[i]) {
        pen.fillStyle = which ? paints[i] : css('--faint');
        pen.globalAlpha = which ? 0.85 : 0.6;
        pen.beginPath(); pen.arc(px[i], py[i], radius, 0, 7); pen.fill();
      }
    };
    dots(0); dots(1);
    pen.globalAlpha = 1;
    drawOver(w, h, fx, fy, radius);
  }
  function drawOver(w, h, fx, fy, radius) {
    const marks = [];
    for (const [v, text] of sx.ticks) {
      const x = sx.to(v);
      marks.push(sv('line', { x1: x, x2: x, y1: PAD.top, y2: h - PAD.bottom, class: 'grid' }),
        sv('text', { x, y: h - PAD.bottom + 16, 'text-anchor': 'middle', class: 'muted' }, short(text, 14)));
    }
    for (const [v, text] of sy.ticks) {
      const y = sy.to(v);
      marks.push(sv('line', { x1: PAD.left, x2: w - PAD.right, y1: y, y2: y, class: 'grid' }),
        sv('text', { x: PAD.left - 7, y: y + 4, 'text-anchor': 'end', class: 'muted' }, short(text, 9)));
    }
    marks.push(sv('text', { x: (PAD.left + w - PAD.right) / 2, y: h - 6, 'text-anchor': 'middle', class: 'title' }, named(fx)));
    marks.push(sv('text', { x: 14, y: PAD.top + (h - PAD.top - PAD.bottom) / 2, 'text-anchor': 'middle', class: 'title',
      transform: `rotate(-90 14 ${PAD.top + (h - PAD.top - PAD.bottom) / 2})` }, named(fy)));
    const stairs = staircase(fx, fy);
    if (stairs) marks.push(sv('path', { d: stairs, class: 'stairs' }));
    for (const i of D.front) if (px[i] === px[i] && py[i] === py[i])
      marks.push(sv('circle', { cx: px[i], cy: py[i], r: radius + 1.8, class: kept[i] ? 'ring' : 'ring off', 'data-row': i }));
    for (const [i, kind] of [[state.held, 'held'], [state.open, 'open']]) if (i >= 0 && px[i] === px[i] && py[i] === py[i])
      marks.push(sv('circle', { cx: px[i], cy: py[i], r: radius + 5, class: kind }));
    if (state.box) {
      const b = state.box, x = [sx.to(b.x[0]), sx.to(b.x[1])], y = [sy.to(b.y[1]), sy.to(b.y[0])];
      marks.push(sv('rect', { x: x[0], y: y[0], width: x[1] - x[0], height: y[1] - y[0], class: 'brush' }));
    }
    scatter.over.replaceChildren(...marks);
  }
  const named = f => f.kind === 'objective' ? `${f.label} (${f.maximize ? 'more' : 'less'} is better)` : f.label;
  const short = (text, most) => text.length > most ? text.slice(0, most - 1) + '…' : text;

  // The front of the two objectives shown, among the points selected.
  function staircase(fx, fy) {
    if (fx.kind !== 'objective' || fy.kind !== 'objective' || fx === fy) return '';
    const a = fx.maximize ? -1 : 1, b = fy.maximize ? -1 : 1;
    const order = [];
    for (let i = 0; i < N; i++) if (kept[i] && fx.at[i] === fx.at[i] && fy.at[i] === fy.at[i]) order.push(i);
    order.sort((i, j) => a * (fx.at[i] - fx.at[j]) || b * (fy.at[i] - fy.at[j]) || i - j);
    let best = Infinity, d = '', last = 0;
    for (const i of order) if (b * fy.at[i] < best) {
      d += d ? `H${px[i].toFixed(1)}V${py[i].toFixed(1)}` : `M${px[i].toFixed(1)} ${py[i].toFixed(1)}`;
      best = b * fy.at[i]; last = i;
    }
    return d;
  }

  function nearest(x, y) {
    let found = -1, best = 14 * 14;
    for (let i = 0; i < N; i++) {
      if (!kept[i] && !(i === state.open || i === state.held)) continue;
      const d = (px[i] - x) ** 2 + (py[i] - y) ** 2 - (onFront[i] ? 6 : 0);
      if (d < best) { best = d; found = i; }
    }
    return found;
  }
  let dragged = null;
  scatter.over.addEventListener('pointerdown', event => {
    if (event.button) return;
    const [x, y] = here(scatter, event);
    dragged = { x, y, moved: false };
    scatter.over.setPointerCapture(event.pointerId);
  });
  scatter.over.addEventListener('pointermove', event => {
    const [x, y] = here(scatter, event);
    if (dragged && (dragged.moved || Math.hypot(x - dragged.x, y - dragged.y) > 5)) {
      dragged.moved = true;
      const span = (s, p, q) => [s.of(p), s.of(q)].sort((m, n) => m - n);
      state.box = { x: span(sx, dragged.x, x), y: span(sy, dragged.y, y) };
      hideTip(); later();
      return;
    }
    const i = nearest(x, y);
    if (i >= 0) tip(i, event.clientX, event.clientY); else hideTip();
  });
  scatter.over.addEventListener('pointerup', event => {
    const [x, y] = here(scatter, event), was = dragged;
    dragged = null;
    if (!was || was.moved) return;
    const i = nearest(x, y);
    if (i >= 0) open(i);
    else if (state.box) { state.box = null; later(); }
  });
  scatter.over.addEventListener('pointerleave', hideTip);

  // --- parallel coordinates ----------------------------------------------------------------------------------

  const parallelFields = [...params.filter(p => p.levels.length > 1).slice(0, 10), ...goals.slice(0, 5)];
  const parallel = plot('parallel', 'Parallel coordinates of parameters and objectives');
  let axisX = [], axisScale = [];
  function drawParallel() {
    const [w, h] = sized(parallel), top = 40, bottom = h - 14, side = 80;
    const gap = parallelFields.length > 1 ? (w - 2 * side) / (parallelFields.length - 1) : 0;
    axisX = parallelFields.map((_, k) => side + k * gap);
    axisScale = parallelFields.map(f => scale(f, wide(f), bottom, top));
    const pen = parallel.pen;
    const wave = i => {
      pen.beginPath();
      parallelFields.forEach((f, k) => {
        const v = f.at[i];
        if (v !== v) return;
        const y = axisScale[k].to(v + jitter(f, i) * 0.5);
        if (k) pen.lineTo(axisX[k], y); else pen.moveTo(axisX[k], y);
      });
      pen.stroke();
    };
    pen.lineWidth = 1;
    pen.strokeStyle = css('--faint');
    pen.globalAlpha = N > 1500 ? 0.12 : 0.3;
    for (let i = 0; i < N; i++) if (!kept[i]) wave(i);
    pen.globalAlpha = Math.max(0.08, Math.min(0.75, 120 / Math.max(keptCount, 1)));
    for (let i = 0; i < N; i++) if (kept[i]) { pen.strokeStyle = paints[i]; wave(i); }
    pen.globalAlpha = 1;
    drawAxes(top, bottom);
  }
  function drawAxes(top, bottom) {
    const marks = [];
    for (const [i, kind] of [[state.held, 'line kept'], [state.open, 'line']]) if (i >= 0) {
      const at = parallelFields.map((f, k) => [axisX[k], f.at[i] === f.at[i] ? axisScale[k].to(f.at[i] + jitter(f, i) * 0.5) : NaN]);
      marks.push(sv('path', { class: kind, d: 'M' + at.filter(p => p[1] === p[1]).map(p => p.map(v => v.toFixed(1)).join(' ')).join('L') }));
    }
    parallelFields.forEach((f, k) => {
      const x = axisX[k];
      marks.push(sv('line', { x1: x, x2: x, y1: top, y2: bottom, class: 'axis' }));
      marks.push(sv('text', { x, y: 14, 'text-anchor': 'middle', class: 'title' }, short(f.label, 18)));
      if (f.kind === 'objective') marks.push(sv('text', { x, y: 28, 'text-anchor': 'middle', class: 'best' }, f.maximize ? 'more is better ↑' : 'less is better ↓'));
      let above = Infinity;
      for (const [v, text] of axisScale[k].ticks) {
        const y = axisScale[k].to(v);
        if (above - y < 13) continue;
        above = y;
        marks.push(sv('text', { x: x - 6, y: y + 4, 'text-anchor': 'end', class: 'small muted halo' }, short(text, 11)));
      }
      const span = state.axes.get(k);
      if (span) {
        const y = [axisScale[k].to(span[1]), axisScale[k].to(span[0])];
        marks.push(sv('rect', { x: x - 9, width: 18, y: y[0], height: Math.max(y[1] - y[0], 1), class: 'brush' }));
      }
      marks.push(sv('rect', { x: x - 16, width: 32, y: top - 4, height: bottom - top + 8, class: 'hit', 'data-axis': k }));
    });
    parallel.over.replaceChildren(...marks);
  }
  let pulled = null;
  parallel.over.addEventListener('pointerdown', event => {
    const axis = event.target.getAttribute && event.target.getAttribute('data-axis');
    if (event.button || axis === null) return;
    pulled = { axis: Number(axis), y: here(parallel, event)[1], moved: false };
    parallel.over.setPointerCapture(event.pointerId);
  });
  parallel.over.addEventListener('pointermove', event => {
    if (!pulled) return;
    const y = here(parallel, event)[1], s = axisScale[pulled.axis];
    if (!pulled.moved && Math.abs(y - pulled.y) < 4) return;
    pulled.moved = true;
    state.axes.set(pulled.axis, [s.of(pulled.y), s.of(y)].sort((a, b) => a - b));
    later();
  });
  parallel.over.addEventListener('pointerup', () => {
    if (pulled && !pulled.moved && state.axes.delete(pulled.axis)) later();
    pulled = null;
  });

  // --- tooltip -----------------------------------------------------------------------------------------------

  function tip(i, x, y) {
    const line = f => el('tr', {}, el('td', { class: 't' }, short(f.label, 34)), el('td', {}, short(f.text(i), 34)));
    const extra = [fields[state.x], fields[state.y]].filter(f => f.kind === 'figure');
    const head = `Point ${D.trial[i] + 1}` + (onFront[i] ? ' · on the front' : '');
    $('tip').replaceChildren(el('b', {}, head), el('table', {}, ...[...params, ...goals, ...extra].slice(0, 16).map(line)));
    $('tip').hidden = false;
    const box = $('tip').getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    const up = y + 16 + box.height > innerHeight ? y - 16 - box.height : y + 16;
    $('tip').style.left = Math.max(4, left) + 'px';
    $('tip').style.top = Math.max(4, up) + 'px';
  }
  function hideTip() { $('tip').hidden = true; }

  // --- filters -----------------------------------------------------------------------------------------------

  function filters() {
    $('filters').replaceChildren(...params.map((p, k) => el('fieldset', { 'data-parameter': k }, el('legend', {}, p.label),
      p.levels.length <= 16 ? chips(p, k) : range(p, k))));
  }
  function chips(p, k) {
    return el('div', { class: 'chips' }, p.levels.map((text, level) => el('button', {
      type: 'button', 'aria-pressed': String(!state.levels[k] || state.levels[k].has(level)), on: { click: () => toggle(k, level) },
    }, text)));
  }
  // From all, a first click keeps that level alone; further clicks add and remove; all or none is all again.
  function toggle(k, level) {
    const set = state.levels[k];
    if (!set) state.levels[k] = new Set([level]);
    else if (set.has(level)) set.delete(level);
    else set.add(level);
    const size = state.levels[k].size;
    if (!size || size === params[k].levels.length) state.levels[k] = null;
    const at = document.activeElement && [...document.querySelectorAll('#filters button')].indexOf(document.activeElement);
    filters();
    if (at >= 0) document.querySelectorAll('#filters button')[at].focus();
    later();
  }
  function range(p, k) {
    const last = p.levels.length - 1, r = state.range[k] || [0, last];
    const told = el('span', {}, `${p.levels[r[0]]} to ${p.levels[r[1]]}`);
    const slider = (end, name) => el('input', { type: 'range', min: 0, max: last, value: r[end], 'aria-label': `${p.label}: ${name}`, on: { input: event => {
      const now = state.range[k] ? [...state.range[k]] : [0, last];
      now[end] = Number(event.target.value);
      if (now[0] > now[1]) now[1 - end] = now[end];
      state.range[k] = now[0] === 0 && now[1] === last ? null : now;
      told.textContent = `${p.levels[now[0]]} to ${p.levels[now[1]]}`;
      const pair = event.target.parentNode.querySelectorAll('input');
      pair[0].value = now[0]; pair[1].value = now[1];
      later();
    } } });
    return el('div', { class: 'range' }, slider(0, 'from'), slider(1, 'to'), told);
  }

  // --- table -------------------------------------------------------------------------------------------------

  const tableFields = [...params, ...goals];
  function table() {
    const f = tableFields[Math.min(state.sort, tableFields.length - 1)];
    const order = [];
    for (let i = 0; i < N; i++) if (kept[i]) order.push(i);
    const sign = state.down ? -1 : 1;
    order.sort((i, j) => {
      const a = f.at[i], b = f.at[j];
      return a !== a || b !== b ? (a !== a) - (b !== b) || i - j : sign * (a - b) || i - j;
    });
    const arrow = k => k === state.sort ? (state.down ? ' ↓' : ' ↑') : '';
    const head = el('tr', {}, el('th', { class: 't' }, 'point'), tableFields.map((g, k) => el('th', {
      'aria-sort': k === state.sort ? (state.down ? 'descending' : 'ascending') : 'none',
    }, el('button', { type: 'button', on: { click: () => { state.down = k === state.sort && !state.down; state.sort = k; table(); } } }, g.label + arrow(k)))), el('th', {}, 'front'));
    const body = order.slice(0, state.rows).map(i => el('tr', { class: i === state.open ? 'open' : null, 'data-row': i },
      el('td', { class: 't' }, el('button', { type: 'button', on: { click: () => open(i) } }, String(D.trial[i] + 1))),
      tableFields.map(g => el('td', {}, short(g.text(i), 40))), el('td', {}, onFront[i] ? '●' : '')));
    $('points').replaceChildren(el('thead', {}, head), el('tbody', {}, body));
    $('more').hidden = order.length <= state.rows;
    $('table-note').textContent = `${Math.min(state.rows, order.length).toLocaleString('en')} of ${order.length.toLocaleString('en')} selected points, by ${f.label}. Click a number to open the point, a heading to sort.`;
  }

  // --- one point, and two points -----------------------------------------------------------------------------

  function open(i) {
    state.open = state.open === i ? -1 : i;
    draw();
  }
  const pair = (name, value) => el('span', {}, el('span', {}, name + ' '), el('b', {}, value));
  function bars(title, parts, unit, kind) {
    const total = parts.reduce((sum, p) => sum + (p[1] || 0), 0), most = Math.max(...parts.map(p => p[1] || 0), 1e-300);
    return el('div', {}, el('h4', {}, `${title}: ${quantity(total, unit)}`), parts.map(p => {
      const bar = el('div', { class: 'fill ' + kind });
      bar.style.width = (100 * p[1] / most).toFixed(2) + '%';
      const part = 100 * p[1] / total, share = total ? ` (${p[1] && part < 0.1 ? '<0.1' : digits(part)} %)` : '';
      return el('div', { class: 'part' }, el('span', { class: 'name', title: p[0] }, p[0]), el('div', { class: 'track' }, bar),
        el('span', { class: 'figure' }, quantity(p[1], unit) + share));
    }));
  }
  function details() {
    const host = $('point'), i = state.open;
    if (i < 0) { host.replaceChildren(); return; }
    const d = D.breakdowns[D.point[i]], command = D.commands[D.point[i]];
    const hold = el('button', { type: 'button', id: 'hold', on: { click: () => { state.held = state.held === i ? -1 : i; draw(); } } },
      state.held === i ? 'Let go of this point' : 'Hold to compare with another');
    const tools = el('div', { class: 'tools' }, hold,
      el('button', { type: 'button', id: 'close', on: { click: () => open(i) } }, 'Close'),
      D.reports.includes(D.point[i]) ? el('a', { href: `points/${D.point[i]}.html` }, 'Its full report (points/' + D.point[i] + '.html)') : null);
    const figures = el('details', {}, el('summary', {}, 'All figures'), el('div', { class: 'pairs' }, others.map(f => pair(f.label, f.text(i)))));
    host.replaceChildren(el('h3', {}, `Point ${D.trial[i] + 1}` + (onFront[i] ? ', on the front' : '')), tools,
      el('div', { class: 'pairs' }, params.map(f => pair(f.label, f.text(i)))),
      el('div', { class: 'pairs' }, goals.map(f => pair(f.label, f.text(i)))), figures,
      ...(state.held >= 0 && state.held !== i ? comparison(state.held, i) : []),
      d ? breakdown(d) : el('p', { class: 'note' }, onFront[i] ? 'This page does not hold the breakdown of this point.' : 'Breakdowns are held for points of the front.'),
      command ? el('p', { class: 'note' }, 'To run it alone: ', el('code', {}, command)) : '');
  }
  function breakdown(d) {
    const layers = d.layers.slice(0, 12).map(g => [g[0] + (g[1] > 1 ? ` ×${g[1]}` : ''), g[2]]);
    const left = d.layers.slice(12), more = left.length + d.rest[0];
    if (more) layers.push([`${more} more`, left.reduce((sum, g) => sum + g[2], d.rest[1])]);
    const held = el('div', {}, el('h4', {}, 'Memory, peak of capacity'), el('div', { class: 'pairs' },
      d.memory.map(m => pair(m[0], `${quantity(m[1], 'bit')} of ${quantity(m[2], 'bit')}`))));
    return el('div', { class: 'shares' }, bars('Time by what limits it', d.limits, 's', 't'), bars('Energy by component', d.energy, 'J', 'e'),
      bars('Time by layer', layers, 's', 't'), el('div', {}, bars('Area by component', d.area, 'mm²', 'a'), held));
  }
  function comparison(a, b) {
    const rows = [];
    for (const f of params) if (f.text(a) !== f.text(b)) rows.push(el('tr', {}, el('td', { class: 't' }, f.label), el('td', {}, f.text(a)), el('td', {}, f.text(b)), el('td', {})));
    for (const f of goals) {
      const good = (f.at[b] - f.at[a]) * (f.maximize ? 1 : -1);
      const times = f.at[a] ? digits(f.at[b] / f.at[a]) + '×' : '';
      rows.push(el('tr', {}, el('td', { class: 't' }, f.label), el('td', {}, f.text(a)), el('td', {}, f.text(b)),
        el('td', { class: good > 0 ? 'better' : good < 0 ? 'worse' : '' }, times)));
    }
    const heads = ['', `point ${D.trial[a] + 1} (held)`, `point ${D.trial[b] + 1}`, 'ratio'];
    return [el('h4', {}, `Why it differs from point ${D.trial[a] + 1}`), verdict(a, b),
      el('div', { class: 'scroll' }, el('table', { id: 'compared' }, el('thead', {}, el('tr', {}, heads.map((t, k) => el('th', { class: k ? '' : 't' }, t)))), el('tbody', {}, rows))),
      ...causes(a, b)];
  }
  function verdict(a, b) {
    const better = goals.filter(f => (f.at[b] - f.at[a]) * (f.maximize ? 1 : -1) > 0).map(f => f.label);
    const worse = goals.filter(f => (f.at[b] - f.at[a]) * (f.maximize ? 1 : -1) < 0).map(f => f.label);
    const said = [better.length ? `better in ${better.join(', ')}` : '', worse.length ? `worse in ${worse.join(', ')}` : ''].filter(Boolean);
    return el('p', { class: 'note' }, said.length ? `Point ${D.trial[b] + 1} is ${said.join(' and ')}.` : 'They are equal in every objective.');
  }
  function causes(a, b) {
    const p = D.breakdowns[D.point[a]], q = D.breakdowns[D.point[b]];
    if (!p || !q) return [el('p', { class: 'note' }, 'Causes can be shown for two points of the front whose breakdowns this page holds.')];
    const moved = (x, y) => {
      const sum = new Map();
      for (const [name, v] of x) sum.set(name, -(v || 0));
      for (const [name, v] of y) sum.set(name, (sum.get(name) || 0) + (v || 0));
      return [...sum].filter(e => e[1]).sort((m, n) => Math.abs(n[1]) - Math.abs(m[1])).slice(0, 8);
    };
    // A layer that only one of the two lists has is gone only if the other list holds every layer.
    const names = d => new Set(d.layers.map(g => g[0]));
    const layer = (d, other) => d.layers.filter(g => !other.rest[0] || names(other).has(g[0])).map(g => [g[0], g[2]]);
    const list = (title, parts, unit) => parts.length ? el('div', {}, el('h4', {}, title), parts.map(([name, v]) =>
      el('div', { class: 'part' }, el('span', { class: 'name', title: name }, name), el('span', {}),
        el('span', { class: v < 0 ? 'figure better' : 'figure worse' }, (v < 0 ? '−' : '+') + quantity(Math.abs(v), unit))))) : null;
    return [el('div', { class: 'shares', id: 'causes' }, list('Time, by what limits it', moved(p.limits, q.limits), 's'),
      list('Energy, by component', moved(p.energy, q.energy), 'J'), list('Time, by layer', moved(layer(p, q), layer(q, p)), 's'),
      list('Area, by component', moved(p.area, q.area), 'mm²'))];
  }

  // --- controls ----------------------------------------------------------------------------------------------

  function options(id, key) {
    const group = (title, from, members) => members.length ? el('optgroup', { label: title }, members.map((f, k) => el('option', { value: from + k }, f.label))) : null;
    fill($(id), {}, [group('Objectives', 0, goals), group('Figures', goals.length, others), group('Parameters', goals.length + others.length, params)]);
    $(id).value = state[key];
    $(id).addEventListener('change', event => {
      state[key] = Number(event.target.value);
      if (key !== 'colour') { state[key + 'Log'] = wide(fields[state[key]]); state.box = null; }
      draw();
    });
  }
  function tick(id, key) {
    $(id).addEventListener('change', event => { state[key] = event.target.checked; draw(); });
  }
  function reset() {
    Object.assign(state, { levels: params.map(() => null), range: params.map(() => null), box: null, frontOnly: false });
    state.axes.clear();
    filters(); draw();
  }

  // --- drawing all -------------------------------------------------------------------------------------------

  function status() {
    let front = 0;
    for (const i of D.front) front += kept[i];
    $('status').textContent = `${keptCount.toLocaleString('en')} of ${N.toLocaleString('en')} selected, ${front.toLocaleString('en')} on the front`;
    $('reset').disabled = keptCount === N;
    $('x-log').checked = state.xLog && fields[state.x].log; $('x-log').disabled = !fields[state.x].log;
    $('y-log').checked = state.yLog && fields[state.y].log; $('y-log').disabled = !fields[state.y].log;
    $('front-only').checked = state.frontOnly;
  }
  function draw() {
    choose(); paint(); status(); drawScatter(); drawParallel(); table(); details();
  }
  let waiting = false;
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; choose(); status(); drawScatter(); drawParallel(); table(); });
  }

  $('app').hidden = false;
  options('x', 'x'); options('y', 'y'); options('colour', 'colour');
  tick('x-log', 'xLog'); tick('y-log', 'yLog'); tick('front-only', 'frontOnly');
  $('reset').addEventListener('click', reset);
  $('more').addEventListener('click', () => { state.rows += 100; table(); });
  state.sort = params.length;
  filters();
  draw();
  let width = 0;
  new ResizeObserver(() => { if (scatter.host.clientWidth !== width) { width = scatter.host.clientWidth; drawScatter(); drawParallel(); } }).observe(scatter.host);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
})();
