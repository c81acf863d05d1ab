// The log of a run that still grows: new events are asked for twice a second until the run is over.

interface Event { at: string; level: string; step: string | null; message: string; error: string | null }
interface Answer { events: Event[]; cursor: string; more: boolean; status: string; is_over: boolean }

const place = document.getElementById("log");
const state = document.getElementById("run-state");
const EVERY_MS = 500;

document.getElementById("level")?.addEventListener("change", (event) => {
  place?.setAttribute("data-from", (event.target as HTMLSelectElement).value);
});

function row(event: Event): HTMLTableRowElement {
  const made = document.createElement("tr");
  made.className = `level-${event.level.toLowerCase()}`;
  const at = document.createElement("time");
  at.dateTime = event.at;
  at.textContent = event.at.slice(0, 19).replace("T", " ");
  made.insertCell().append(at);
  for (const text of [event.level.toLowerCase(), event.step ?? "", event.message]) made.insertCell().textContent = text;
  if (event.error !== null) {
    const words = document.createElement("pre");
    words.textContent = event.error;
    made.cells[3]?.append(words);
  }
  return made;
}

async function follow(log: HTMLElement): Promise<void> {
  const answer = await fetch(`${log.dataset["log"]}?cursor=${encodeURIComponent(log.dataset["cursor"] ?? "")}`);
  if (!answer.ok) {
    setTimeout(() => void follow(log), 4 * EVERY_MS);
    return;
  }
  const found = (await answer.json()) as Answer;
  const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
  log.querySelector("tbody")?.append(...found.events.map(row));
  if (isAtEnd) log.scrollTop = log.scrollHeight;
  log.dataset["cursor"] = found.cursor;
  if (state !== null && state.textContent?.trim() !== found.status.toLowerCase()) state.textContent = found.status.toLowerCase();
  if (!found.is_over || found.more) setTimeout(() => void follow(log), found.more ? 0 : EVERY_MS);
  else location.reload();
}

if (place !== null && place.dataset["over"] === "") void follow(place);
