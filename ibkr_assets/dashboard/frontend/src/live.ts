// What moves without a reload: the socket's state, ages that count on, and pages that changed.
// A message only says that something changed; the page is asked again, so no figure ever comes over the socket.

const pill = document.getElementById("live");
const FIRST_MS = 500;
const LONGEST_MS = 10_000;
let wait = FIRST_MS;
let asked: number | undefined;

function say(text: string, kind: string): void {
  if (pill === null || pill.textContent === text) return;
  pill.textContent = text;
  pill.className = `pill ${kind}`;
}

function connect(): void {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/live`);
  socket.onopen = () => {
    wait = FIRST_MS;
    say("live", "good");
  };
  socket.onmessage = (event: MessageEvent<string>) => {
    const { kind } = JSON.parse(event.data) as { kind: string };
    if (kind === "lost") say("database away", "bad");
    else say("live", "good");
    if (kind === "changed") refresh();
  };
  socket.onclose = () => {
    say("reconnecting …", "warn");
    setTimeout(connect, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_MS);
  };
}

// Several changes within a moment are one. Nobody's typing, open details or selection is taken away. What answered a
// form has an address that cannot be asked again.
function refresh(): void {
  if (asked !== undefined || document.hidden || document.body.dataset["answers"] !== "GET") return;
  asked = window.setTimeout(async () => {
    asked = undefined;
    const active = document.activeElement;
    if (active instanceof HTMLInputElement || active instanceof HTMLSelectElement) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll<HTMLElement>("[data-live]")) {
      const name = part.dataset["live"];
      const next = fresh.querySelector<HTMLElement>(`[data-live="${name}"]`);
      if (next !== null && next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
    }
  }, 250);
}

const UNITS: [number, string][] = [[86_400, "d"], [3_600, "h"], [60, "min"]];

function span(seconds: number): string {
  for (const [size, unit] of UNITS) {
    if (seconds >= size) return `${seconds >= 10 * size ? Math.round(seconds / size) : (seconds / size).toFixed(1)} ${unit}`;
  }
  return `${seconds >= 10 ? Math.round(seconds) : seconds.toFixed(1)} s`;
}

function count(): void {
  for (const place of document.querySelectorAll<HTMLElement>("[data-at]")) {
    const seconds = Math.max((Date.now() - Date.parse(place.dataset["at"] ?? "")) / 1000, 0);
    const text = span(seconds);
    if (place.textContent !== text) place.textContent = text;
    place.classList.toggle("old", seconds > 90);
  }
}

connect();
setInterval(count, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
