// What all pages share: elements, the API key, requests and their errors.

// make gives an element. Text is set as text, never as markup.
export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (value === true) e.setAttribute(name, "");
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

export const $ = (id) => document.getElementById(id);

const KEY = "mixtral.key";
export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: "Bearer " + key } : {};
}

// where no key was ever asked for, there is no button for it
$("key").hidden = !sessionStorage.getItem(KEY);
const dialog = $("keydialog");
let asked = null; // the promise of the open dialog

// askKey opens the dialog; it gives whether there is a new key.
export function askKey() {
  asked ??= new Promise((done) => {
    $("keyvalue").value = "";
    dialog.returnValue = "cancel";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      const value = $("keyvalue").value.trim(), ok = dialog.returnValue === "ok";
      $("keyvalue").value = "";
      if (ok && value) sessionStorage.setItem(KEY, value);
      else if (ok) sessionStorage.removeItem(KEY);
      asked = null;
      done(ok);
    }, { once: true });
  });
  return asked;
}
$("key").addEventListener("click", async () => { if (await askKey()) dispatchEvent(new Event("newkey")); });
// Enter in the field is the first button otherwise, which cancels
$("keyvalue").addEventListener("keydown", (e) => {
  if (e.key === "Enter") { e.preventDefault(); $("keyok").click(); }
});

// call sends a request; a refused key is asked for once. It throws an Error with the server's message.
export async function call(path, body, signal, again = true) {
  const options = { headers: headers(), signal };
  if (body !== undefined) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  let message = `The server answered with status ${answer.status}.`;
  try {
    message = (await answer.json()).error.message;
  } catch { /* no error body of the API's: the status has to do */ }
  if (answer.status === 401) $("key").hidden = false;
  if (answer.status === 401 && again && await askKey()) return call(path, body, signal, false);
  const wait = answer.headers.get("Retry-After");
  if (wait && answer.status !== 401) message += ` (try again in ${wait} s)`;
  const e = new Error(message);
  e.status = answer.status;
  throw e;
}

// show shows an error in an element, or hides it.
export function show(element, message) {
  element.textContent = message ?? "";
  element.hidden = !message;
}

export function seconds(s) {
  if (!isFinite(s)) return "–";
  if (s < 0.001) return (s * 1e6).toFixed(0) + " µs";
  if (s < 1) return (s * 1000).toFixed(s < 0.01 ? 1 : 0) + " ms";
  return s.toFixed(s < 10 ? 2 : 1) + " s";
}

export function bytes(n) {
  if (!isFinite(n)) return "–";
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (n >= size) return (n / size).toFixed(1) + " " + unit;
  }
  return n + " B";
}
