// The page of `striate serve`: pictures go to /predict, answers come back as bars. All text from outside is set as text, never as HTML.
const $ = id => document.getElementById(id);
const MOST = 200, AT_ONCE = 8, SHOWN = 5; // answers on the page, pictures of one request, classes of an answer
let token = sessionStorage.getItem("token") ?? "", models = [];

async function ask(path, options = {}) {
  const headers = token ? {authorization: `Bearer ${token}`} : {};
  const answer = await fetch(path, {...options, headers});
  const data = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(`${data.error.message}. ${data.error.remedy}`), {status: answer.status});
  return data;
}

function say(text) { $("status").textContent = text; }

function node(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function begin() {
  try {
    models = await ask("/models");
  } catch (error) {
    $("entry").hidden = error.status !== 401 && error.status !== 429;
    $("about").textContent = error.status === 401 ? "This server needs a token." : error.message;
    if (token && error.status === 401) say("The token is wrong.");
    return;
  }
  say("");
  sessionStorage.setItem("token", token);
  models = models.filter(model => model.input === "pictures");
  $("entry").hidden = true;
  $("ask").hidden = $("how").hidden = !models.length;
  $("which").hidden = models.length < 2;
  $("model").replaceChildren(...models.map(model => new Option(model.name)));
  about();
  if (!models.length) $("about").textContent = "No model here takes pictures; openapi.json describes the addresses.";
}

function chosen() { return models.find(model => model.name === $("model").value) ?? models[0]; }

function about() {
  const model = chosen();
  if (!model) return;
  $("described").hidden = token !== ""; // a link carries no token
  const names = model.classes.slice(0, 12).join(", ") + (model.classes.length > 12 ? ", …" : "");
  $("about").textContent = `${model.name}: ${model.network}, ${model.classes.length} outputs: ${names}`;
  const query = models.length > 1 ? `?model=${encodeURIComponent(model.name)}` : "";
  const secret = token ? ' -H "Authorization: Bearer $TOKEN"' : "";
  $("command").textContent = `curl${secret} -F files=@picture.jpg '${location.origin}/predict${query}'`;
}

function bar(name, value) {
  const share = typeof value === "number" && value >= 0 && value <= 1, line = node("div", "", share ? "bar" : "bar bare");
  line.append(node("span", name));
  if (share) {
    const track = node("div"), fill = node("i");
    fill.style.width = `${100 * value}%`;
    track.append(fill);
    line.append(track);
  }
  line.append(node("span", share ? `${(100 * value).toFixed(1)}%` : Number(value).toPrecision(6)));
  return line;
}

function shown(file, answer) {
  const item = node("article"), image = node("img"), words = node("div"), address = URL.createObjectURL(file);
  image.alt = "";
  image.src = address;
  image.onload = () => URL.revokeObjectURL(address);
  image.onerror = () => { URL.revokeObjectURL(address); image.remove(); item.classList.add("alone"); };
  const labels = answer.labels && (answer.labels.join(", ") || "none");
  words.append(node("h2", answer.error ? "no answer" : answer.class ?? labels ?? (answer.mask ? "mask" : answer.picture ? "picture" : "numbers")), node("p", file.name, "faint"));
  if (answer.error) words.append(node("p", answer.error));
  const made = answer.mask ?? answer.picture;
  if (made) {
    const result = node("img", "", "made");
    result.alt = answer.mask ? "the mask" : "the restored picture";
    result.src = `data:image/png;base64,${made}`;
    words.append(result);
  }
  for (const [name, share] of Object.entries(answer.mask ? answer.classes : {})) if (share > 0) words.append(bar(name, share));
  for (const {class: name, probability, score} of answer.top ?? []) words.append(bar(name, probability ?? score));
  for (const [name, value] of Object.entries(answer.probabilities ?? answer.values ?? {})) words.append(bar(name, value));
  item.append(image, words);
  $("answers").prepend(item);
  while ($("answers").childElementCount > MOST) $("answers").lastElementChild.remove();
}

async function send(files) {
  const form = new FormData(), query = `?model=${encodeURIComponent(chosen().name)}&top=${SHOWN}`;
  for (const file of files) form.append("files", file, file.name || "picture");
  try {
    return await ask(`/predict${query}`, {method: "POST", body: form});
  } catch (error) {
    if (error.status === 401) location.reload();
    if (error.status !== 429 && files.length > 1) return (await Promise.all(files.map(file => send([file])))).flat(); // which one it is
    return files.map(() => ({error: error.message}));
  }
}

async function answer(list) {
  const files = [...list];
  for (let start = 0; start < files.length; start += AT_ONCE) {
    say(`Picture ${start + 1} of ${files.length} …`);
    const some = files.slice(start, start + AT_ONCE), answers = await send(some);
    some.forEach((file, place) => shown(file, answers[place]));
  }
  say(files.length ? `${files.length} ${files.length === 1 ? "picture" : "pictures"} answered.` : "");
}

$("entry").addEventListener("submit", event => { event.preventDefault(); token = $("token").value.trim(); begin(); });
$("files").addEventListener("change", async () => { await answer($("files").files); $("files").value = ""; });
$("model").addEventListener("change", about);
document.addEventListener("paste", event => { if (models.length && event.clipboardData.files.length) answer(event.clipboardData.files); });
for (const name of ["dragover", "dragleave", "drop"]) document.addEventListener(name, event => {
  event.preventDefault();
  $("drop").classList.toggle("over", name === "dragover");
  if (name === "drop" && models.length) answer(event.dataTransfer.files);
});
begin();
