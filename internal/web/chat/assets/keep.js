// What the browser keeps: each conversation under a key of its own, so that two tabs do not overwrite each other.

const PREFIX = "mixtral.chat.";

const fresh = () => ({ id: crypto.randomUUID?.() ?? Date.now().toString(36) + Math.random().toString(36).slice(2),
  changed: Date.now(), settings: {}, messages: [] });

export { fresh };

// valid tells a conversation from whatever else may stand there.
function valid(c) {
  return c && typeof c.id === "string" && typeof c.settings === "object" && c.settings !== null &&
    Array.isArray(c.messages) && c.messages.every((m) => m && (m.role === "user" ? typeof m.text === "string" :
    m.role === "assistant" && Array.isArray(m.variants) && m.variants.length > 0 &&
    m.variants.every((v) => v && typeof v.text === "string")));
}

// all gives the conversations, the newest first.
export function all() {
  const list = [];
  for (let i = 0; i < localStorage.length; i++) {
    const key = localStorage.key(i);
    if (!key.startsWith(PREFIX)) continue;
    try {
      const c = JSON.parse(localStorage.getItem(key));
      if (valid(c)) list.push(c);
    } catch { /* not ours */ }
  }
  return list.sort((a, b) => b.changed - a.changed);
}

// save keeps a conversation. Where the browser has no more room, it keeps the text without probabilities.
export function save(c) {
  try {
    localStorage.setItem(PREFIX + c.id, JSON.stringify(c));
    return true;
  } catch { /* no more room */ }
  try {
    localStorage.setItem(PREFIX + c.id, JSON.stringify(c, (name, value) => name === "tokens" ? undefined : value));
    return true;
  } catch {
    return false;
  }
}

export function drop(id) { localStorage.removeItem(PREFIX + id); }

export function title(c) {
  const first = c.messages.find((m) => m.role === "user");
  return first ? first.text.trim().split("\n")[0].slice(0, 80) || "Conversation" : "New conversation";
}
