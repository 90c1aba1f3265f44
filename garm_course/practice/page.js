// Three models of garm-course in plain JavaScript: no library, nothing from the network.
//
// Weights come as rows of whole numbers -127..127 times a scale of each row. Numbers are double precision, as in the
// Python that checks this file: from the same uniforms both draw the same values.
//
// A model that draws value after value has two methods:
//   reset()             the state before the first value; it belongs to one example and is never changed
//   step(state, last)   {state, logits}: the next state, after the value `last` (undefined at first), and what comes next

"use strict";

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const floats = text => Float64Array.from(new Float32Array(bytes(text).buffer));

function matrix({columns, numbers, scales}) {
  const q = new Int8Array(bytes(numbers).buffer), s = floats(scales);
  return {columns, rows: s.length, a: Float64Array.from(q, (w, k) => Math.fround(w * s[Math.floor(k / columns)]))};
}

// W x + b
function linear({columns, rows, a}, x, b) {
  const out = new Float64Array(rows);
  for (let i = 0, k = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++, k++) sum += a[k] * x[j];
    out[i] = b ? sum + b[i] : sum;
  }
  return out;
}

const row = ({columns, a}, i) => a.subarray(i * columns, (i + 1) * columns);
const relu = x => x.map(v => Math.max(v, 0));
const sigmoid = v => 1 / (1 + Math.exp(-v));
const plus = (x, y) => x.map((v, i) => v + y[i]);

function softmax(logits) {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const p = logits.map(v => Math.exp(v - top)), total = p.reduce((a, b) => a + b);
  return p.map(v => v / total);
}

// The first value whose cumulative probability exceeds u.
function draw(p, u) {
  let sum = 0;
  for (let k = 0; k < p.length; k++) { sum += p[k]; if (u < sum) return k; }
  return p.length - 1;
}

// An image in raster order, by a GRU that reads the value before, the one above and its place. Lesson 03.
class PixelGRU {
  constructor({weights, width, levels}) {
    Object.assign(this, {w: weights, width, levels, positions: weights.places.rows, hidden: weights.u.columns});
  }
  reset() { return {past: [], h: new Float64Array(this.hidden)}; }
  // of a level, and zeros for what lies outside of the image
  features(value) {
    const size = this.w.table.length / this.levels;
    return value === undefined ? new Float64Array(size) : this.w.table.subarray(value * size, (value + 1) * size);
  }
  step({past, h}, last) {
    const w = this.w, n = this.hidden, now = last === undefined ? past : [...past, last], i = now.length;
    const x = [...this.features(last), ...this.features(now[i - this.width]), ...row(w.places, i)];
    const a = linear(w.w, x, w.b), c = linear(w.u, h, w.c), next = new Float64Array(n);
    for (let k = 0; k < n; k++) {
      const reset = sigmoid(a[k] + c[k]), update = sigmoid(a[n + k] + c[n + k]);
      next[k] = (1 - update) * Math.tanh(a[2 * n + k] + reset * c[2 * n + k]) + update * h[k];
    }
    return {state: {past: now, h: next}, logits: linear(w.o2, relu(linear(w.o1, next, w.d1)), w.d2)};
  }
}

// A text, by a transformer that keeps the keys and values of all earlier places. Lesson 07.
class CharTransformer {
  constructor({weights, layers, heads, vocabulary}) { Object.assign(this, {w: weights, layers, heads, vocabulary}); }
  reset() { return {tokens: [], caches: this.layers.map(() => ({keys: [], values: []}))}; }
  norm(x, gain) {
    const root = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + 2 ** -52);
    return x.map((v, i) => v / root * (gain ? gain[i] : 1));
  }
  // pairs (j, j + half) turned by an angle that grows with the place
  turned(x, place) {
    const half = x.length / 2;
    return x.map((v, k) => {
      const angle = place * 10000 ** (-(k % half) / half);
      return k < half ? v * Math.cos(angle) - x[k + half] * Math.sin(angle) : v * Math.cos(angle) + x[k - half] * Math.sin(angle);
    });
  }
  attend(x, w, {keys, values}, place) {
    const all = linear(w.qkv, x), width = x.length, size = width / this.heads, heard = new Float64Array(width);
    const part = (k, head) => all.subarray(k * width + head * size, k * width + (head + 1) * size);
    const key = [], value = [];
    for (let head = 0; head < this.heads; head++) {
      const query = this.turned(this.norm(part(0, head)), place);
      key.push(this.turned(this.norm(part(1, head)), place));
      value.push(part(2, head));
      const seen = [...keys.map(one => one[head]), key[head]], said = [...values.map(one => one[head]), value[head]];
      const weights = softmax(Float64Array.from(seen, k => k.reduce((sum, v, j) => sum + v * query[j], 0) / Math.sqrt(size)));
      said.forEach((v, t) => { for (let j = 0; j < size; j++) heard[head * size + j] += weights[t] * v[j]; });
    }
    return {heard: linear(w.out, heard), cache: {keys: [...keys, key], values: [...values, value]}};
  }
  step({tokens, caches}, last) {
    const w = this.w, read = [...tokens, last === undefined ? this.vocabulary.length : last], place = read.length - 1;
    let x = Float64Array.from(row(w.embed, read[place]));
    for (let back = 1; back <= w.taps.rows && back <= place; back++) {
      const tap = row(w.taps, back - 1), earlier = row(w.embed, read[place - back]);
      x = x.map((v, j) => v + earlier[j] * tap[j]);
    }
    const next = this.layers.map((layer, k) => {
      const {heard, cache} = this.attend(this.norm(x, layer.first), layer, caches[k], place);
      x = plus(x, heard);
      x = plus(x, linear(layer.down, relu(linear(layer.up, this.norm(x, layer.second))).map(v => v * v)));
      return cache;
    });
    return {state: {tokens: read, caches: next}, logits: linear(w.read, this.norm(x, w.last))};
  }
}

// Latents and a class to the mean level of each pixel. Lesson 10.
class Decoder {
  constructor({weights, levels, classes}) { Object.assign(this, {w: weights, levels, classes}); }
  probabilities(z, y) {
    const one = Array.from({length: this.classes}, (_, k) => Number(k === y));
    const steps = linear(this.w.c, relu(linear(this.w.b, relu(linear(this.w.a, [...z, ...one], this.w.ab)), this.w.bb)), this.w.cb);
    const pixels = [];
    for (let k = 0; k < steps.length; k += this.levels) {  // logits are sums of the steps from level to level
      let sum = 0;
      pixels.push(softmax(steps.subarray(k, k + this.levels).map(v => (sum += v) / Math.sqrt(this.levels))));
    }
    return pixels;
  }
  image(z, y) { return this.probabilities(z, y).map(p => p.reduce((sum, v, level) => sum + v * level, 0)); }
}

// Complete an image of which some values are given: `given[i]` is a level, or undefined where the model draws.
//
// In raster order a model can condition on what comes before. What is given further down has to steer through
// *particles*: every particle is a guess at the free pixels so far, and where a value is given, particles under which it
// was likely are copied, and others dropped. Equation (20.11) of lesson 20.
//
// uniform() gives numbers in [0, 1); between rows `pause` lets the page breathe. Returns the images of the particles.
async function complete(model, given, particles, temperature, uniform, pause) {
  const last = given.reduce((k, v, i) => v === undefined ? k : i, -1);
  let crowd = [{state: model.reset(), values: []}];  // as long as nothing was drawn, one stands for all
  for (let i = 0; i < model.positions; i++) {
    let probabilities = [];
    crowd = crowd.map(({state, values}) => {
      const next = model.step(state, values[i - 1]);
      probabilities.push(softmax(next.logits.map(v => v / temperature)));
      return {state: next.state, values};
    });
    if (given[i] === undefined) {
      if (crowd.length === 1) {
        crowd = Array.from({length: particles}, () => crowd[0]);
        probabilities = crowd.map(() => probabilities[0]);
      }
      crowd = crowd.map(({state, values}, k) => ({state, values: [...values, draw(probabilities[k], uniform())]}));
    } else {
      if (crowd.length > 1) {  // one uniform places equally spaced pointers on the line of weights
        const weights = probabilities.map(p => p[given[i]]), total = weights.reduce((a, b) => a + b), u = uniform();
        const chosen = [];
        for (let k = 0, sum = weights[0], j = 0; j < crowd.length; j++) {
          while (sum < (j + u) / crowd.length * total && k < crowd.length - 1) sum += weights[++k];
          chosen.push(k);
        }
        crowd = chosen.map(k => crowd[k]);
      }
      crowd = crowd.map(({state, values}) => ({state, values: [...values, given[i]]}));
    }
    if (pause && i % 8 === 7) await pause(i, last);
  }
  return crowd.map(one => one.values);
}

function unpacked(data) {
  if (typeof data === "string") return floats(data);
  if (Array.isArray(data)) return data.map(unpacked);
  if (data && data.numbers) return matrix(data);
  if (data && typeof data === "object") return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, unpacked(v)]));
  return data;
}
