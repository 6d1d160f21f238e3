const list = document.querySelector("#entries");
const form = document.querySelector("#write");
const problem = document.querySelector("#problem");
const lines = document.querySelector("#lines");

function item(entry) {
  const line = document.createElement("li");
  const name = document.createElement("strong");
  const time = document.createElement("time");
  name.textContent = entry.name;
  time.dateTime = entry.at;
  time.textContent = new Date(entry.at).toLocaleString();
  line.append(name, `: ${entry.message} `, time);
  return line;
}

async function load() {
  const response = await fetch("/api/entries");
  const { entries } = await response.json();
  list.replaceChildren(...entries.map(item));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const response = await fetch("/api/entries", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  problem.textContent = response.ok ? "" : `The entry was not saved (status ${response.status}).`;
  if (response.ok) form.elements.message.value = "";
  await load();
});

document.querySelector("#stream").addEventListener("click", async () => {
  lines.textContent = "";
  const response = await fetch("/api/stream");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) lines.textContent += part.value;
});

await load();
