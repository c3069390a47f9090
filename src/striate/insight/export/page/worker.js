// In a worker, behind the engine: decodes pictures, fits them and answers. Messages carry an `id` that comes back with the answer.

const MAX_PIXELS = 50_000_000, MAX_SIDE = 30_000; // as Striate's decoder has them
const FAINT = 8, VARIED = 32; // of transparency, as there
let engine;

onmessage = async ({data}) => {
  if (data.plan) {
    engine = new Engine(data.plan, data.weights);
    return;
  }
  try {
    postMessage({id: data.id, ...await answered(data)});
  } catch (error) {
    postMessage({id: data.id, error: error instanceof Error ? error.message : String(error)});
  }
};

async function answered({picture, drawn, keep}) {
  const {images} = engine.plan, {pixels, height, width} = await decoded(picture, images, drawn);
  const seen = fitted(pixels, height, width, images), started = performance.now();
  const {outputs, maps} = engine.run(seen, new Set(keep));
  const milliseconds = performance.now() - started;
  return {...answerOf(outputs, engine.plan), outputs: Array.from(outputs), seen, maps, height, width, milliseconds};
}

// uint8 (h, w, C) of a file, upright, as it lies there: no colour profile is applied. What is `drawn`, or comes from a camera, may be made grey.
async function decoded(picture, images, drawn) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture, {colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image"});
  } catch {
    throw new Error("not a picture that this browser can read");
  }
  const {width, height} = bitmap;
  if (width * height > MAX_PIXELS || Math.max(width, height) > MAX_SIDE) throw new Error(`${width} x ${height} pixels are too many`);
  const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const colours = context.getImageData(0, 0, width, height).data;
  flatten(colours);
  const pixels = withChannels(colours, images.channels, drawn);
  const isJpeg = picture instanceof Blob && (await picture.slice(0, 2).arrayBuffer().then(bytes => new DataView(bytes).getUint16(0))) === 0xffd8;
  return isJpeg && images.fit !== "cut" ? reduced(pixels, height, width, images) : {pixels, height, width};
}

// RGBA over white, or over black where over white nothing would be seen.
function flatten(colours) {
  let least = 255, most = 0;
  for (let i = 3; i < colours.length; i += 4) { least = Math.min(least, colours[i]); most = Math.max(most, colours[i]); }
  if (least === 255) return;
  const low = [255, 255, 255], high = [0, 0, 0];
  const over = (i, c, ground) => Math.round((colours[i + c] * colours[i + 3] + ground * (255 - colours[i + 3])) / 255);
  for (let i = 0; i < colours.length; i += 4)
    for (let c = 0; c < 3; c++) { const v = over(i, c, 255); low[c] = Math.min(low[c], v); high[c] = Math.max(high[c], v); }
  const ground = most - least >= VARIED && low.every((value, c) => high[c] - value < FAINT) ? 0 : 255;
  for (let i = 0; i < colours.length; i += 4) for (let c = 0; c < 3; c++) colours[i + c] = over(i, c, ground);
}

function withChannels(colours, channels, drawn) {
  const count = colours.length / 4, pixels = new Uint8Array(count * channels);
  for (let i = 0; i < count; i++) {
    const [r, g, b] = [colours[4 * i], colours[4 * i + 1], colours[4 * i + 2]];
    if (channels === 3) {
      pixels[3 * i] = r;
      pixels[3 * i + 1] = g;
      pixels[3 * i + 2] = b;
    } else {
      if (!drawn && (r !== g || g !== b)) throw new Error("has colours, and this model takes grey pictures");
      pixels[i] = Math.round((299 * r + 587 * g + 114 * b) / 1000);
    }
  }
  return pixels;
}

// A JPEG of more than four times the size of the input is taken at a half, a quarter or an eighth, as Striate's decoder does.
function reduced(pixels, height, width, {channels, height: H, width: W}) {
  const times = Math.floor(Math.min(height, width) / (2 * Math.max(H, W))), step = [8, 4, 2].find(n => times >= n);
  if (!step) return {pixels, height, width};
  const high = Math.ceil(height / step), wide = Math.ceil(width / step), found = new Uint8Array(high * wide * channels);
  for (let y = 0; y < high; y++)
    for (let x = 0; x < wide; x++) {
      const bottom = Math.min((y + 1) * step, height), right = Math.min((x + 1) * step, width);
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = y * step; i < bottom; i++) for (let j = x * step; j < right; j++) sum += pixels[(i * width + j) * channels + c];
        found[(y * wide + x) * channels + c] = Math.round(sum / ((bottom - y * step) * (right - x * step)));
      }
    }
  return {pixels: found, height: high, width: wide};
}
