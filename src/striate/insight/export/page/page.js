// The page: takes pictures, hands them to workers, and shows the answers. It asks nothing of any other place.

const at = id => document.getElementById(id);
const plan = JSON.parse(at("plan").textContent), {classes, task, images} = plan;
const SHARED_BYTES = 32 * 2 ** 20; // of weights, up to which each worker has its own
const answers = []; // one record for each picture, in the order in which they came
const queue = [];
let chosen = -1, removed = 0; // how many pictures were removed: a picture's id is its place among all that ever came

// ---- workers

// A page that was opened as a file may not start a module of its own as a worker, but a script.
const script = at("engine").textContent.replaceAll(/^export /gm, "") + at("worker").textContent;
const code = URL.createObjectURL(new Blob([script], {type: "text/javascript"}));
const weights = ofBase64(at("weights").textContent);
at("weights").remove();
const most = weights.byteLength > SHARED_BYTES ? 1 : Math.min(4, navigator.hardwareConcurrency || 1);
const workers = [];

function ofBase64(text) {
  const bytes = new Uint8Array(Math.floor(text.length * 3 / 4)), PIECE = 2 ** 16;
  let end = 0;
  for (let i = 0; i < text.length; i += PIECE) {
    const piece = atob(text.slice(i, i + PIECE));
    for (let j = 0; j < piece.length; j++) bytes[end++] = piece.charCodeAt(j);
  }
  return bytes.buffer.slice(0, end);
}

function newWorker() {
  const worker = new Worker(code);
  worker.onmessage = ({data}) => { worker.busy = false; take(data); next(); };
  worker.onerror = event => {
    const error = `the page cannot compute here: ${event.message || "workers are not allowed"}`;
    queue.length = 0;
    answers.forEach((answer, id) => { if (answer.waits) take({id: removed + id, error}); });
    next();
  };
  worker.postMessage({plan, weights}, most === 1 ? [weights] : []);
  workers.push(worker);
  return worker;
}

function next() {
  while (queue.length) {
    const free = workers.find(worker => !worker.busy) ?? (workers.length < most ? newWorker() : null);
    if (!free) break;
    free.busy = true;
    free.postMessage(queue.shift());
  }
  const waiting = answers.filter(answer => answer.waits).length;
  at("status").textContent = waiting ? `${answers.length - waiting} of ${answers.length} pictures answered` : "";
}

// ---- pictures in, answers out

// Takes one picture: a file, or an ImageData that was drawn or filmed.
function add(name, picture, {drawn = false, url = null} = {}) {
  answers.push({name, waits: true, url: url ?? (picture instanceof Blob ? URL.createObjectURL(picture) : null)});
  queue.push({id: removed + answers.length - 1, picture, drawn});
}

function addFiles(files) {
  const first = answers.length;
  for (const file of files) add(file.name, file);
  if (answers.length > first) { chosen = first; next(); }
}

function take({id: serial, ...found}) {
  const id = serial - removed, answer = answers[id];
  if (!answer) return; // it was removed meanwhile
  Object.assign(answer, found, {waits: false});
  if (found.values) {
    answer.order = found.values.map((_, k) => k);
    if (task !== "numbers") answer.order.sort((a, b) => found.values[b] - found.values[a]);
  }
  at("all").hidden = false;
  const later = [...at("rows").children].find(row => Number(row.dataset.id) > id); // answers come in any order
  at("rows").insertBefore(rowOf(id), later ?? null);
  if (id === chosen) show(id);
}

function worded(value) {
  return task === "numbers" || task === "scores" ? value.toPrecision(4) : `${(100 * value).toFixed(1)}%`;
}

function inWords({error, order, values, known}) {
  if (error) return error;
  if (task === "labels") return order.filter(k => values[k] >= 0.5).map(k => classes[k]).join(", ") || "none of the labels";
  if (task === "numbers") return order.map(k => `${classes[k]} ${worded(values[k])}`).join(", ");
  return known ? classes[order[0]] : `unknown (nearest: ${classes[order[0]]})`;
}

function element(tag, text, kind) {
  const found = document.createElement(tag);
  if (text !== undefined) found.textContent = text;
  if (kind) found.className = kind;
  return found;
}

function rowOf(id) {
  const answer = answers[id], row = element("tr"), first = element("td"), button = element("button", answer.name);
  button.type = "button";
  button.onclick = () => show(id);
  first.append(button);
  const value = answer.values && task !== "numbers" ? worded(answer.values[answer.order[0]]) : "";
  row.append(first, element("td", inWords(answer)), element("td", value, "n"), element("td", answer.milliseconds?.toFixed(0) ?? "", "n"));
  row.dataset.id = id;
  return row;
}

function show(id) {
  chosen = id;
  const answer = answers[id];
  for (const row of at("rows").children) row.className = Number(row.dataset.id) === id ? "chosen" : "";
  at("result").hidden = false;
  at("shown").src = answer.url;
  at("name").textContent = answer.name;
  at("answer").textContent = inWords(answer);
  at("bars").replaceChildren();
  at("seen").hidden = !answer.seen;
  at("seen-words").textContent = answer.seen ? `${images.width} x ${images.height} pixels, as the network sees it` : "";
  if (!answer.seen) return;
  drawSeen(answer.seen);
  for (const k of answer.order.slice(0, Math.max(1, Number(at("top").value) || 1))) {
    const bar = element("div", undefined, "bar"), box = element("div"), length = element("i");
    length.style.width = `${100 * Math.min(1, Math.max(0, answer.values[k]))}%`;
    box.append(length);
    bar.append(element("span", classes[k]), box, element("span", worded(answer.values[k])));
    at("bars").append(bar);
  }
}

function drawSeen(seen) {
  const canvas = at("seen"), {width, height, channels} = images, pixels = new ImageData(width, height);
  [canvas.width, canvas.height] = [width, height];
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = seen[i * channels + (channels === 3 ? c : 0)];
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function csv() {
  const width = task === "numbers" || task === "labels" ? classes.length : Math.min(5, classes.length), value = task === "scores" ? "score" : "probability";
  const named = task === "numbers" || task === "labels";
  const head = named ? ["path", ...classes] : ["path", "class", value];
  if (!named) for (let k = 2; k <= width; k++) head.push(`class${k}`, `${value}${k}`);
  const rows = answers.filter(answer => !answer.waits).map(({name, error, values, order, known}) => {
    if (error) return [name, "", ...Array(head.length - 2).fill(""), error];
    if (named) return [name, ...values.map(v => task === "numbers" ? v.toPrecision(7) : v.toFixed(6))];
    return [name, known ? classes[order[0]] : "unknown", values[order[0]].toFixed(6),
      ...order.slice(1, width).flatMap(k => [classes[k], values[k].toFixed(6)])];
  });
  if (rows.some(row => row.length > head.length)) head.push("error");
  return [head, ...rows].map(row => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

// ---- what a person does

at("files").onchange = event => { addFiles(event.target.files); event.target.value = ""; };
at("top").oninput = () => { if (chosen >= 0 && answers[chosen] && !answers[chosen].waits) show(chosen); };
at("save").onclick = () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
  link.download = "answers.csv";
  link.click();
  URL.revokeObjectURL(link.href);
};
at("forget").onclick = () => {
  for (const {url} of answers) if (url?.startsWith("blob:")) URL.revokeObjectURL(url);
  removed += answers.length;
  answers.length = queue.length = 0;
  chosen = -1;
  at("rows").replaceChildren();
  at("all").hidden = at("result").hidden = true;
  next();
};
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, event => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") addFiles(event.dataTransfer.files);
  });
}
document.addEventListener("paste", event => addFiles(event.clipboardData.files));

// ---- the camera

let stream = null;
at("camera").onclick = async () => {
  const begins = !stream;
  if (begins) {
    try {
      stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
    } catch {
      at("status").textContent = "There is no camera, or this browser does not let the page use it.";
      return;
    }
    at("video").srcObject = stream;
    at("video").play();
  } else {
    for (const track of stream.getTracks()) track.stop();
    stream = null;
  }
  at("filming").hidden = !begins;
  at("camera").setAttribute("aria-expanded", begins);
};
at("shoot").onclick = () => {
  const video = at("video"), canvas = element("canvas");
  if (!video.videoWidth) return;
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  addCanvas("camera", canvas);
};

// Takes what a canvas shows, without the rounding of a file format.
function addCanvas(name, canvas) {
  const count = answers.filter(answer => answer.name.startsWith(name)).length + 1;
  const picture = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  add(`${name} ${count}`, picture, {drawn: true, url: canvas.toDataURL()});
  chosen = answers.length - 1;
  next();
}

// ---- drawing, white on black

const pad = at("pad"), pen = pad.getContext("2d", {willReadFrequently: true}), STEP = 10;
let place = {x: 140, y: 140}, down = false;

function wipe() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, pad.width, pad.height);
}

function strokeTo(to) {
  Object.assign(pen, {strokeStyle: "#fff", lineWidth: 22, lineCap: "round", lineJoin: "round"});
  pen.beginPath();
  pen.moveTo(place.x, place.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  place = to;
}

function placeOf(event) {
  const box = pad.getBoundingClientRect();
  return {x: (event.clientX - box.left) * pad.width / box.width, y: (event.clientY - box.top) * pad.height / box.height};
}

at("draw").hidden = images.channels !== 1;
at("draw").onclick = () => {
  at("drawing").hidden = !at("drawing").hidden;
  at("draw").setAttribute("aria-expanded", !at("drawing").hidden);
  if (!at("drawing").hidden) pad.focus();
};
at("wipe").onclick = wipe;
pad.onpointerdown = event => { pad.setPointerCapture(event.pointerId); down = true; place = placeOf(event); strokeTo(place); };
pad.onpointermove = event => { if (down && event.buttons) strokeTo(placeOf(event)); };
pad.onpointerup = () => { if (down) addCanvas("drawing", pad); down = false; };
pad.onkeydown = event => {
  const moves = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP]}, move = moves[event.key];
  if (event.key === " ") {
    if (down) addCanvas("drawing", pad);
    down = !down;
    if (down) strokeTo(place);
  } else if (move) {
    const to = {x: Math.min(pad.width, Math.max(0, place.x + move[0])), y: Math.min(pad.height, Math.max(0, place.y + move[1]))};
    if (down) strokeTo(to);
    place = to;
  } else return;
  event.preventDefault();
};
wipe();

// ---- the model

const nouns = {classes: "classes", scores: "classes", labels: "labels", numbers: "numbers"}, noun = nouns[task];
const listed = classes.slice(0, 12).join(", ") + (classes.length > 12 ? ` and ${classes.length - 12} more` : "");
at("about").textContent = task === "numbers" ? `Estimates ${listed} from pictures.` : `Sorts pictures into ${classes.length} ${noun}: ${listed}.`;
at("of").textContent = `of ${classes.length} ${noun}`;
at("top").max = classes.length;
at("top").value = Math.min(5, classes.length);
at("value").textContent = task === "numbers" ? "" : task === "scores" ? "score" : "probability";
document.body.classList.toggle("bare", task === "numbers" || task === "scores");
for (const [name, value] of plan.facts) {
  const row = element("tr"), head = element("th", name);
  head.scope = "row";
  row.append(head, element("td", value));
  at("facts").append(row);
}
globalThis.striate = {answers, csv, plan};
