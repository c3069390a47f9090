// Runs a network from its list of steps (striate.insight.export.steps) and its weights. No dependency; numbers are kept as float32 and
// summed in double precision. A value is a Float32Array with its shape: (C, H, W), (T, F) or (F,), channels first, row by row.

const TILE_BYTES = 1 << 18; // of the columns that are multiplied at once: what stays in a core's cache

export class Engine {
  // `plan` is the JSON of the file, `bytes` an ArrayBuffer with all of its tensors.
  constructor(plan, bytes) {
    const missing = plan.steps.find(step => !Object.hasOwn(OPS, step.op));
    if (missing) throw new Error(`${missing.path}: this engine has no "${missing.op}"`);
    this.plan = plan;
    this.steps = plan.steps.map(step => ({...step, ...tensorsOf(step.tensors, bytes), cache: {}}));
    this.lastReader = new Int32Array(plan.steps.length);
    plan.steps.forEach((step, place) => step.inputs.forEach(source => { this.lastReader[source] = place; }));
    this.paths = plan.steps.map(step => step.path);
  }

  // The outputs (K,) for a picture as the network sees it, uint8 (H, W, C). With `keep`, a set of paths, also
  // `maps`: the output of each of these steps as {data, shape}.
  run(pixels, keep = new Set()) {
    const values = new Array(this.steps.length), maps = {};
    this.steps.forEach((step, place) => {
      const inputs = step.inputs.map(source => ({data: values[source], shape: this.steps[source].shape, step: this.steps[source]}));
      const own = step.inputs.length > 0 && this.lastReader[step.inputs[0]] === place && !step.inputs.includes(step.inputs[0], 1)
        && !keep.has(this.steps[step.inputs[0]].path) && this.steps[step.inputs[0]].op !== "constant";
      values[place] = step.op === "input" ? normalized(pixels, this.plan.images) : OPS[step.op](step, inputs, own);
      if (keep.has(step.path)) maps[step.path] = {data: values[place], shape: step.shape};
      for (const source of step.inputs) if (this.lastReader[source] === place) values[source] = undefined;
    });
    return {outputs: values[values.length - 1], maps};
  }
}

function sizeOf(shape) {
  return shape.reduce((product, n) => product * n, 1);
}

// ---- weights

function tensorsOf(records = {}, bytes) {
  return Object.fromEntries(Object.entries(records).map(([name, record]) => [name, unpacked(record, bytes)]));
}

// A tensor as Float32Array: float32, float16, or int8 with a float32 scale for each place of the first axis.
export function unpacked({kind, offset, count, scales}, bytes) {
  if (kind === "float32") return new Float32Array(bytes, offset, count);
  const found = new Float32Array(count);
  if (kind === "float16") {
    const halves = new Uint16Array(bytes, offset, count);
    for (let i = 0; i < count; i++) found[i] = ofHalf(halves[i]);
  } else if (kind === "int8") {
    const whole = new Int8Array(bytes, offset, count), scale = new Float32Array(bytes, scales.offset, scales.count);
    const row = count / scales.count;
    for (let i = 0; i < count; i++) found[i] = whole[i] * scale[Math.floor(i / row)];
  } else throw new Error(`weights of an unknown kind, ${kind}`);
  return found;
}

function ofHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// ---- the picture

// uint8 (H, W, C) -> (C, H, W), as the model normalizes it.
export function normalized(pixels, images) {
  const {channels, normalization, scale, offset} = images, places = pixels.length / channels;
  const x = new Float32Array(pixels.length);
  let low = Infinity, high = -Infinity, sum = 0, squares = 0;
  if (normalization !== "dataset") {
    for (const value of pixels) { low = Math.min(low, value); high = Math.max(high, value); sum += value; }
    const mean = sum / pixels.length;
    for (const value of pixels) squares += (value - mean) ** 2;
    sum = mean;
  }
  const deviation = Math.max(Math.sqrt(squares / pixels.length), pixels.length ** -0.5);
  for (let c = 0; c < channels; c++) {
    let a = scale[c], b = offset[c];
    if (normalization === "per_image") [a, b] = [1 / deviation, -sum / deviation];
    if (normalization === "min_max") [a, b] = high > low ? [1 / (high - low), -low / (high - low)] : [0, 0];
    for (let p = 0; p < places; p++) x[c * places + p] = a * pixels[p * channels + c] + b;
  }
  return x;
}

// uint8 (h, w, C) of any size -> uint8 (H, W, C), to the bit as Striate's decoder fits it: the same part of the picture, Pillow's antialiased
// bilinear weights of 22 bits, across first, then down, rounded after each.
export function fitted(pixels, height, width, images) {
  const {height: H, width: W, channels: C, fit} = images;
  if (height === H && width === W) return pixels.slice();
  const [rows, columns] = sides(height, width, H, W, fit);
  const across = weightsOf(width, W, columns), down = weightsOf(height, H, rows);
  const lines = new Uint8Array(height * W * C), found = new Uint8Array(H * W * C);
  for (let x = 0; x < W; x++) {
    const {low, shares} = across[x];
    for (let y = 0; y < height && shares.length; y++)
      for (let c = 0; c < C; c++) {
        let sum = 2 ** 21;
        for (let i = 0; i < shares.length; i++) sum += shares[i] * pixels[(y * width + low + i) * C + c];
        lines[(y * W + x) * C + c] = Math.min(255, Math.floor(sum / 2 ** 22));
      }
  }
  for (let y = 0; y < H; y++) {
    const {low, shares} = down[y];
    for (let i = 0; i < W * C && shares.length; i++) {
      let sum = 2 ** 21;
      for (let k = 0; k < shares.length; k++) sum += shares[k] * lines[(low + k) * W * C + i];
      found[y * W * C + i] = Math.min(255, Math.floor(sum / 2 ** 22));
    }
  }
  return found;
}

// Along each side: the part that is seen, from `start` to `stop`, and the `places` that it fills, from `first` on.
function sides(height, width, H, W, fit) {
  const both = [[height, H], [width, W]], ratios = both.map(([size, places]) => places / size);
  const least = Math.min(...ratios), most = Math.max(...ratios);
  if (fit === "stretch") return both.map(([size, places]) => ({start: 0, stop: size, first: 0, places}));
  if (fit === "cut") return both.map(([size, places]) => {
    const inner = Math.min(size, places), start = Math.floor((size - inner) / 2);
    return {start, stop: start + inner, first: Math.floor((places - inner) / 2), places: inner};
  });
  if (fit === "crop") return both.map(([size, places]) => {
    const start = most === 1 ? Math.floor((size - places) / 2) : Math.max(0, (size - places / most) / 2);
    return {start, stop: most === 1 ? start + places : size - start, first: 0, places};
  });
  const scale = least >= 1 && most <= 1.25 ? 1 : least;
  return both.map(([size, places]) => {
    const count = Math.min(Math.max(halfEven(size * scale), 1), places);
    return {start: 0, stop: size, first: Math.floor((places - count) / 2), places: count};
  });
}

function halfEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest === 0.5 ? floor + floor % 2 : Math.round(value);
}

// For each place: the first pixel that it reads, and the weight of each from there on, a whole number of 2^-22.
function weightsOf(size, wanted, side) {
  const start = Math.fround(side.start), scale = Math.fround(Math.fround(side.stop) - start) / side.places, reach = Math.max(scale, 1);
  return Array.from({length: wanted}, (_, at) => {
    const place = at - side.first;
    if (place < 0 || place >= side.places) return {low: 0, shares: []};
    const centre = start + (place + 0.5) * scale;
    const low = Math.floor(Math.max(centre - reach + 0.5, 0)), high = Math.min(Math.floor(centre + reach + 0.5), size);
    const weights = Array.from({length: high - low}, (_, i) => Math.max(1 - Math.abs((low + i - centre + 0.5) * (1 / reach)), 0));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return {low, shares: weights.map(weight => Math.floor(weight / total * 2 ** 22 + 0.5))};
  });
}

// ---- convolution: columns of the input times the weights, a tile at a time

function convolution(step, [input], _own) {
  const [M, OH, OW] = step.shape, [channels] = input.shape, {groups} = step;
  const plain = step.kernel.every(k => k === 1) && step.stride.every(s => s === 1) && !step.pads.flat().some(Boolean);
  const {base, taps, plane, width} = step.cache.windows ??= windowsOf(step, input.shape);
  const x = plain ? input.data : padded(input.data, input.shape, step.pads, 0);
  const P = OH * OW, K = taps.length, perGroup = channels / groups, outs = M / groups;
  const found = new Float32Array(M * P);
  if (perGroup === 1) return depthwise(step, x, found, {base, taps, plane, P, outs, width, channels});
  for (let group = 0; group < groups; group++) {
    const from = group * perGroup * plane, first = group * outs;
    const packed = (step.cache.packed ??= [])[group] ??= packedRows(step.weight, first, outs, K * perGroup);
    multiply(packed, outs, K * perGroup, x, from, {base, taps, plane, perGroup}, found, first, P, step.bias);
  }
  return found;
}

// Place of the window of each output in the padded plane, and of each tap in the window.
function windowsOf({shape, kernel, stride, dilation = [1, 1], pads}, [, height, width]) {
  const wide = width + pads[1][0] + pads[1][1], high = height + pads[0][0] + pads[0][1];
  const [, OH, OW] = shape, base = new Int32Array(OH * OW), taps = new Int32Array(kernel[0] * kernel[1]);
  for (let y = 0; y < OH; y++) for (let x = 0; x < OW; x++) base[y * OW + x] = y * stride[0] * wide + x * stride[1];
  for (let y = 0; y < kernel[0]; y++)
    for (let x = 0; x < kernel[1]; x++) taps[y * kernel[1] + x] = y * dilation[0] * wide + x * dilation[1];
  return {base, taps, plane: wide * high, width: wide};
}

function padded(x, [channels, height, width], [[top, bottom], [left, right]], value) {
  if (!(top || bottom || left || right)) return x;
  const wide = width + left + right, high = height + top + bottom, found = new Float32Array(channels * wide * high);
  if (value) found.fill(value);
  for (let row = 0; row < channels * height; row++) {
    const at = (Math.floor(row / height) * high + top + row % height) * wide + left;
    found.set(x.subarray(row * width, (row + 1) * width), at);
  }
  return found;
}

// Four rows of weights beside each other, in double precision, the last four filled up with zeros.
function packedRows(weight, first, rows, K) {
  const found = new Float64Array(Math.ceil(rows / 4) * 4 * K);
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < K; k++) found[(row >> 2) * 4 * K + k * 4 + (row & 3)] = weight[(first + row) * K + k];
  return found;
}

let scratch = new Float64Array(0); // the columns of a tile

function multiply(A, rows, K, x, from, {base, taps, plane, perGroup}, found, first, P, bias) {
  const tile = Math.max(2, Math.min(P + (P & 1), Math.floor(TILE_BYTES / (8 * K)) & ~1)), T = taps.length;
  if (scratch.length < tile * K) scratch = new Float64Array(tile * K);
  const B = scratch;
  for (let begin = 0; begin < P; begin += tile) {
    const count = Math.min(tile, P - begin);
    for (let j = 0; j < count; j += 2) {
      const one = from + base[begin + j], two = j + 1 < count ? from + base[begin + j + 1] : one;
      let at = j * K;
      for (let c = 0; c < perGroup; c++)
        for (let t = 0; t < T; t++) {
          const place = c * plane + taps[t];
          B[at++] = x[one + place];
          B[at++] = x[two + place];
        }
    }
    for (let row = 0; row < rows; row += 4) {
      const left = Math.min(4, rows - row), out = (first + row) * P + begin;
      const b0 = bias ? bias[first + row] : 0, b1 = bias && left > 1 ? bias[first + row + 1] : 0;
      const b2 = bias && left > 2 ? bias[first + row + 2] : 0, b3 = bias && left > 3 ? bias[first + row + 3] : 0;
      for (let j = 0; j < count; j += 2) {
        let c00 = 0, c01 = 0, c10 = 0, c11 = 0, c20 = 0, c21 = 0, c30 = 0, c31 = 0, a = row * K, b = j * K;
        for (let k = 0; k < K; k++) {
          const p = B[b], q = B[b + 1];
          const w0 = A[a], w1 = A[a + 1], w2 = A[a + 2], w3 = A[a + 3];
          c00 += w0 * p; c01 += w0 * q;
          c10 += w1 * p; c11 += w1 * q;
          c20 += w2 * p; c21 += w2 * q;
          c30 += w3 * p; c31 += w3 * q;
          a += 4; b += 2;
        }
        const both = j + 1 < count;
        found[out + j] = c00 + b0; if (both) found[out + j + 1] = c01 + b0;
        if (left > 1) { found[out + P + j] = c10 + b1; if (both) found[out + P + j + 1] = c11 + b1; }
        if (left > 2) { found[out + 2 * P + j] = c20 + b2; if (both) found[out + 2 * P + j + 1] = c21 + b2; }
        if (left > 3) { found[out + 3 * P + j] = c30 + b3; if (both) found[out + 3 * P + j + 1] = c31 + b3; }
      }
    }
  }
}

// Each output map from one input map.
function depthwise({weight, bias}, x, found, {base, taps, plane, P, outs, channels}) {
  const T = taps.length;
  for (let m = 0; m < channels * outs; m++) {
    const from = Math.floor(m / outs) * plane, start = bias ? bias[m] : 0, at = m * P;
    if (T === 9) {
      const [t0, t1, t2, t3, t4, t5, t6, t7, t8] = taps, [w0, w1, w2, w3, w4, w5, w6, w7, w8] = weight.subarray(m * 9, m * 9 + 9);
      for (let p = 0; p < P; p++) {
        const b = from + base[p];
        found[at + p] = start + w0 * x[b + t0] + w1 * x[b + t1] + w2 * x[b + t2] + w3 * x[b + t3] + w4 * x[b + t4]
          + w5 * x[b + t5] + w6 * x[b + t6] + w7 * x[b + t7] + w8 * x[b + t8];
      }
    } else {
      for (let p = 0; p < P; p++) {
        const b = from + base[p];
        let sum = start;
        for (let t = 0; t < T; t++) sum += weight[m * T + t] * x[b + taps[t]];
        found[at + p] = sum;
      }
    }
  }
  return found;
}

function dense(step, [input]) {
  const {weight, bias, shape} = step, x = input.data, outs = shape[shape.length - 1], F = input.shape[input.shape.length - 1];
  const steps = x.length / F, found = new Float32Array(steps * outs);
  if (steps > 4) { // each step of a sequence is a column
    const across = new Float32Array(found.length), packed = step.cache.packed ??= packedRows(weight, 0, outs, F);
    const base = Int32Array.from({length: steps}, (_, t) => t * F), taps = Int32Array.from({length: F}, (_, i) => i);
    multiply(packed, outs, F, x, 0, {base, taps, plane: 0, perGroup: 1}, across, 0, steps, bias);
    for (let t = 0; t < steps; t++) for (let o = 0; o < outs; o++) found[t * outs + o] = across[o * steps + t];
    return found;
  }
  for (let t = 0; t < steps; t++)
    for (let o = 0; o < outs; o++) {
      let a = 0, b = 0, c = 0, d = 0, i = 0;
      const w = o * F, at = t * F;
      for (; i + 3 < F; i += 4) {
        a += weight[w + i] * x[at + i];
        b += weight[w + i + 1] * x[at + i + 1];
        c += weight[w + i + 2] * x[at + i + 2];
        d += weight[w + i + 3] * x[at + i + 3];
      }
      for (; i < F; i++) a += weight[w + i] * x[at + i];
      found[t * outs + o] = a + b + c + d + (bias ? bias[o] : 0);
    }
  return found;
}

// ---- activations

function erf(x) { // to 1.2e-7 (Press et al., Numerical Recipes, erfc by Chebyshev polynomials)
  const t = 2 / (2 + Math.abs(x)), series = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398,
    1.48851587, -0.82215223, 0.17087277].reduceRight((sum, factor) => sum * t + factor, 0);
  const rest = t * Math.exp(-x * x + series);
  return x >= 0 ? 1 - rest : rest - 1;
}

const relu6 = x => x < 0 ? 0 : x > 6 ? 6 : x;
const SELU = [1.0507009873554805, 1.6732632423543772];
const ACTIVATIONS = {
  step: x => x > 0 ? 1 : 0,
  sigmoid: x => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  scaled_tanh: x => 1.7159 * Math.tanh(x * 2 / 3),
  relu: x => x < 0 ? 0 : x,
  relu6,
  rrelu: x => x < 0 ? x * (1 / 8 + 1 / 3) / 2 : x,
  elu: x => x < 0 ? Math.expm1(x) : x,
  selu: x => SELU[0] * (x < 0 ? SELU[1] * Math.expm1(x) : x),
  gelu: x => x * 0.5 * (1 + erf(x * Math.SQRT1_2)),
  silu: x => x / (1 + Math.exp(-x)),
  softplus: x => x > 20 ? x : Math.log1p(Math.exp(x)),
  hard_sigmoid: x => relu6(x + 3) / 6,
  hard_swish: x => x * relu6(x + 3) / 6,
};

function activation(step, [input], own) {
  const x = input.data, found = own ? x : new Float32Array(x.length), {name, slope} = step;
  const channels = step.shape[0], size = x.length / channels;
  if (name === "softmax") {
    for (let p = 0; p < size; p++) {
      let most = -Infinity, sum = 0;
      for (let i = p; i < x.length; i += size) most = Math.max(most, x[i]);
      for (let i = p; i < x.length; i += size) sum += found[i] = Math.exp(x[i] - most);
      for (let i = p; i < x.length; i += size) found[i] /= sum;
    }
  } else if (name === "relu") {
    for (let i = 0; i < x.length; i++) found[i] = x[i] < 0 ? 0 : x[i];
  } else if (name === "relu6") {
    for (let i = 0; i < x.length; i++) found[i] = x[i] < 0 ? 0 : x[i] > 6 ? 6 : x[i];
  } else if (name === "leaky_relu" || name === "prelu") {
    const slopes = typeof slope === "number" ? [slope] : slope;
    for (let i = 0; i < x.length; i++) found[i] = x[i] < 0 ? x[i] * slopes[slopes.length > 1 ? Math.floor(i / size) : 0] : x[i];
  } else {
    const of = ACTIVATIONS[name];
    if (!of) throw new Error(`${step.path}: this engine has no activation "${name}"`);
    for (let i = 0; i < x.length; i++) found[i] = of(x[i]);
  }
  return found;
}

// ---- normalizations

function affine({scale, shift, shape}, [input], own) {
  const x = input.data, found = own ? x : new Float32Array(x.length), size = x.length / shape[0];
  for (let i = 0, c = 0; c < shape[0]; c++) for (const end = i + size; i < end; i++) found[i] = scale[c] * x[i] + shift[c];
  return found;
}

// `count` values from `from` on, `stride` apart, as deviations from their mean in units of their own; written to the same places.
function standardize(x, found, from, count, stride, eps) {
  let mean = 0, squares = 0;
  for (let i = 0, p = from; i < count; i++, p += stride) mean += x[p] / count;
  for (let i = 0, p = from; i < count; i++, p += stride) squares += (x[p] - mean) ** 2 / count;
  const factor = 1 / Math.sqrt(squares + eps);
  for (let i = 0, p = from; i < count; i++, p += stride) found[p] = (x[p] - mean) * factor;
}

function layerNorm({weight, bias, eps, over, shape}, [input]) {
  const x = input.data, found = new Float32Array(x.length), width = over === "channels" ? shape[0] : shape[shape.length - 1];
  const places = x.length / width, stride = over === "channels" ? places : 1;
  for (let p = 0; p < places; p++) {
    const from = over === "channels" ? p : p * width;
    standardize(x, found, from, width, stride, eps);
    for (let c = 0, i = from; c < width; c++, i += stride) found[i] = found[i] * weight[c] + bias[c];
  }
  return found;
}

function groupNorm({weight, bias, eps, groups, shape}, [input]) {
  const x = input.data, found = new Float32Array(x.length), size = x.length / groups;
  for (let group = 0; group < groups; group++) standardize(x, found, group * size, size, 1, eps);
  return weight ? affine({scale: weight, shift: bias, shape}, [{data: found}], true) : found;
}

function globalResponseNorm({weight, bias, eps, shape}, [input]) {
  const x = input.data, size = x.length / shape[0], norms = new Float64Array(shape[0]);
  for (let i = 0; i < x.length; i++) norms[Math.floor(i / size)] += x[i] * x[i];
  norms.forEach((sum, c) => { norms[c] = Math.sqrt(sum); });
  const mean = norms.reduce((sum, norm) => sum + norm, 0) / shape[0] + eps;
  return affine({scale: norms.map((norm, c) => 1 + weight[c] * norm / mean), shift: bias, shape}, [input], false);
}

function localResponseNorm({size, alpha, beta, k, shape}, [input]) {
  const x = input.data, found = new Float32Array(x.length), places = x.length / shape[0], before = size >> 1;
  for (let c = 0; c < shape[0]; c++)
    for (let p = 0; p < places; p++) {
      let squares = 0;
      for (let j = Math.max(0, c - before); j < Math.min(shape[0], c - before + size); j++) squares += x[j * places + p] ** 2;
      found[c * places + p] = x[c * places + p] / (k + alpha * squares) ** beta;
    }
  return found;
}

// ---- poolings

function pool({how, kernel, stride, pads, count_padding: whole, shape}, [input]) {
  const [C, OH, OW] = shape, [, H, W] = input.shape, x = input.data, found = new Float32Array(C * OH * OW);
  for (let y = 0, at = 0; y < OH; y++) {
    const top = y * stride[0] - pads[0][0], bottom = Math.min(top + kernel[0], H + pads[0][1]);
    for (let o = 0; o < OW; o++, at++) {
      const left = o * stride[1] - pads[1][0], right = Math.min(left + kernel[1], W + pads[1][1]);
      const y0 = Math.max(top, 0), y1 = Math.min(bottom, H), x0 = Math.max(left, 0), x1 = Math.min(right, W);
      const count = whole ? (bottom - top) * (right - left) : (y1 - y0) * (x1 - x0);
      for (let c = 0; c < C; c++) {
        let most = -Infinity, sum = 0;
        for (let i = y0; i < y1; i++)
          for (let j = (c * H + i) * W + x0, end = j + x1 - x0; j < end; j++) { const v = x[j]; sum += v; if (v > most) most = v; }
        found[c * OH * OW + at] = how === "max" ? most : sum / count;
      }
    }
  }
  return found;
}

function adaptivePool({shape}, [input], own) {
  const [C, OH, OW] = shape, [, H, W] = input.shape, x = input.data, found = new Float32Array(C * OH * OW);
  if (OH === H && OW === W) return own ? x : x.slice();
  for (let c = 0, at = 0; c < C; c++)
    for (let y = 0; y < OH; y++)
      for (let o = 0; o < OW; o++, at++) {
        const y0 = Math.floor(y * H / OH), y1 = Math.ceil((y + 1) * H / OH), x0 = Math.floor(o * W / OW), x1 = Math.ceil((o + 1) * W / OW);
        let sum = 0;
        for (let i = y0; i < y1; i++) for (let j = x0; j < x1; j++) sum += x[(c * H + i) * W + j];
        found[at] = sum / ((y1 - y0) * (x1 - x0));
      }
  return found;
}

function globalPool({how, shape}, [input]) {
  const x = input.data, found = new Float32Array(shape[0]), size = x.length / shape[0];
  for (let c = 0; c < shape[0]; c++) {
    let sum = 0, most = -Infinity;
    for (let i = c * size; i < (c + 1) * size; i++) { sum += x[i]; if (x[i] > most) most = x[i]; }
    found[c] = how === "max" ? most : sum / size;
  }
  return found;
}

// ---- joins, and what moves values about

// Element by element, an extent of 1 standing for any.
function joined(combine) {
  return ({shape}, inputs, own) => {
    const count = sizeOf(shape), [first] = inputs;
    const found = own && first.data.length === count ? first.data : spread(first, shape);
    for (const input of inputs.slice(1)) {
      const other = input.data.length === count ? input.data : spread(input, shape);
      combine(found, other);
    }
    return found;
  };
}

function spread({data, shape: small}, shape) {
  const count = sizeOf(shape);
  if (data.length === count) return data.slice();
  const full = [...shape, 1, 1].slice(0, 3), own = [...small, 1, 1].slice(0, 3), found = new Float32Array(count);
  const steps = own.map((n, axis) => n === 1 ? 0 : sizeOf(own.slice(axis + 1)));
  for (let i = 0, at = 0; i < full[0]; i++)
    for (let j = 0; j < full[1]; j++)
      for (let k = 0; k < full[2]; k++) found[at++] = data[i * steps[0] + j * steps[1] + k * steps[2]];
  return found;
}

function concatenated({shape}, inputs) {
  const found = new Float32Array(sizeOf(shape));
  let at = 0;
  for (const input of inputs) {
    const data = spread(input, [input.shape[0], ...shape.slice(1)]);
    found.set(data, at);
    at += data.length;
  }
  return found;
}

function mixture(_step, inputs) {
  const all = inputs.map(({data}) => softmax(data));
  return Float32Array.from(inputs[0].data, (_, i) => Math.log(all.reduce((sum, shares) => sum + shares[i], 0) / all.length));
}

function padChannels({stride, shape}, [input]) {
  const [, OH, OW] = shape, [C, H, W] = input.shape, found = new Float32Array(shape[0] * OH * OW);
  for (let c = 0, at = 0; c < C; c++)
    for (let y = 0; y < OH; y++) for (let x = 0; x < OW; x++) found[at++] = input.data[(c * H + y * stride[0]) * W + x * stride[1]];
  return found;
}

function shuffled({groups, shape}, [input]) {
  const size = input.data.length / shape[0], each = shape[0] / groups, found = new Float32Array(input.data.length);
  for (let c = 0; c < shape[0]; c++) {
    const from = (c % groups) * each + Math.floor(c / groups);
    found.set(input.data.subarray(from * size, (from + 1) * size), c * size);
  }
  return found;
}

function sequence({of, shape}, [input]) {
  const [T, F] = shape, x = input.data, found = new Float32Array(T * F), [C, H, W = 1] = input.shape;
  for (let c = 0; c < C; c++)
    for (let y = 0; y < H; y++)
      for (let w = 0; w < W; w++) found[of === "places" ? (y * W + w) * C + c : y * C * W + c * W + w] = x[(c * H + y) * W + w];
  return found;
}

function attention({heads, shape}, [input]) {
  const [T, F] = shape, size = F / heads, x = input.data, found = new Float32Array(T * F), scores = new Float64Array(T);
  for (let head = 0; head < heads; head++)
    for (let t = 0; t < T; t++) {
      const query = t * 3 * F + head * size;
      let most = -Infinity, sum = 0;
      for (let s = 0; s < T; s++) {
        const key = s * 3 * F + F + head * size;
        let product = 0;
        for (let i = 0; i < size; i++) product += x[query + i] * x[key + i];
        most = Math.max(most, scores[s] = product / Math.sqrt(size));
      }
      for (let s = 0; s < T; s++) sum += scores[s] = Math.exp(scores[s] - most);
      for (let s = 0; s < T; s++) {
        const share = scores[s] / sum, value = s * 3 * F + 2 * F + head * size;
        for (let i = 0; i < size; i++) found[t * F + head * size + i] += share * x[value + i];
      }
    }
  return found;
}

function distances({codes, negate, shape}, [input]) {
  const F = input.data.length;
  return Float32Array.from({length: shape[0]}, (_, k) => {
    let sum = 0;
    for (let i = 0; i < F; i++) sum += (input.data[i] - codes[k * F + i]) ** 2;
    return negate ? -sum : sum;
  });
}

const OPS = {
  input: null, // the normalized picture
  act: activation,
  adaptive_pool: adaptivePool,
  affine,
  attention,
  chunk: ({index, shape}, [{data}]) => data.slice(index * sizeOf(shape), (index + 1) * sizeOf(shape)),
  concat: concatenated,
  constant: ({values}) => values,
  conv: convolution,
  distances,
  global_pool: globalPool,
  global_response_norm: globalResponseNorm,
  group_norm: groupNorm,
  layer_norm: layerNorm,
  linear: dense,
  local_response_norm: localResponseNorm,
  mixture,
  multiply: joined((found, other) => { for (let i = 0; i < found.length; i++) found[i] *= other[i]; }),
  pad_channels: padChannels,
  pool,
  reshape: (_, [{data}]) => data.slice(),
  sequence,
  shuffle: shuffled,
  sum: joined((found, other) => { for (let i = 0; i < found.length; i++) found[i] += other[i]; }),
  take: ({index, shape}, [{data}]) => data.slice(index * shape[0], (index + 1) * shape[0]),
};

// ---- answers

export function softmax(logits, temperature = 1) {
  const most = Math.max(...logits), exponentials = Array.from(logits, z => Math.exp((z - most) / temperature));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map(value => value / sum);
}

// What the model says of its outputs: `values` (K,), which are probabilities, scores or numbers, and whether it is `known`.
export function answerOf(outputs, {task, temperature, score, threshold}) {
  if (task === "labels") return {values: Array.from(outputs, z => 1 / (1 + Math.exp(-z))), known: true};
  if (task !== "classes") return {values: Array.from(outputs), known: true};
  const values = softmax(outputs, temperature), most = Math.max(...outputs);
  const sum = outputs.reduce((total, z) => total + Math.exp((z - most) / temperature), 0);
  const found = score === "max_logit" ? most : score === "confidence" ? 1 / sum : most + temperature * Math.log(sum);
  return {values, known: threshold === null || found >= threshold};
}
