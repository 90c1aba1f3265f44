// A Gated PixelCNN of 28 x 28 pixels in ONNX Runtime for the web: two graphs, whose states are inputs and outputs.
//
// `row` runs once a row and says what the rows above add to each pixel of it; `pixel` runs once a pixel.

import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;  // more need headers that a plain web server does not send
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;

const whole = (values, shape) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
const zeros = shape => new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);

export async function load(folder) {
  const about = await (await fetch(`${folder}/model.json`)).json(), sessions = {};
  for (const name of Object.keys(about.graphs)) {
    sessions[name] = await ort.InferenceSession.create(`${folder}/${name}.onnx`, {executionProviders: ["wasm"]});
  }
  return {about, sessions};
}

// Outputs by the names that model.json gives them; a state that comes back has the name of its input.
async function run({about, sessions}, graph, inputs) {
  const taken = Object.fromEntries(Object.entries(inputs).filter(([name]) => sessions[graph].inputNames.includes(name)));
  const out = await sessions[graph].run(taken);
  return Object.fromEntries(about.graphs[graph].outputs.map((name, k) => [name, out[sessions[graph].outputNames[k]]]));
}

const states = (about, graph, prefix, n) => Object.fromEntries(
  Object.entries(about.graphs[graph].inputs).filter(([name]) => name.startsWith(prefix)).map(([name, shape]) => [name, zeros([n, ...shape])]));
const only = (outputs, prefix) => Object.fromEntries(Object.entries(outputs).filter(([name]) => name.startsWith(prefix)));

// n black and white images from uniforms[image][position]; `shown(images, row)` is called after every row.
export async function sample(model, n, uniforms, shown) {
  const {about} = model, [, height, width] = about.shape, images = Array.from({length: n}, () => new Uint8Array(height * width));
  let rows = states(about, "row", "rows", n);
  for (let r = 0; r < height; r++) {
    const above = images.flatMap(image => r ? [...image.subarray((r - 1) * width, r * width)] : new Array(width).fill(0));
    let out = await run(model, "row", {above: whole(above, [n, width]), started: whole([r ? 1 : 0], []), ...rows});
    rows = only(out, "rows");
    const added = only(out, "added");
    let windows = states(about, "pixel", "window", n), before = new Array(n).fill(about.levels);
    for (let c = 0; c < width; c++) {
      out = await run(model, "pixel", {before: whole(before, [n]), column: whole([c], []), ...windows, ...added});
      windows = only(out, "window");
      before = [...out.logits.data].map((logit, k) => Number(uniforms[k][r * width + c] >= 1 / (1 + Math.exp(logit))));
      before.forEach((value, k) => { images[k][r * width + c] = value; });
    }
    if (shown) await shown(images, r);
  }
  return images;
}
