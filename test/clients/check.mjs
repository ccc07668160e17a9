// What the suites share. A suite is the checks of one client: each belongs to a feature, and a feature works where all
// its checks pass.

export const base = process.argv[2]; // http://127.0.0.1:PORT
export const model = process.argv[3];
export const key = "not-needed";

const results = [];

// suite runs checks one after the other: {feature: {name: async () => …}}.
export async function suite(client, features) {
  for (const [feature, checks] of Object.entries(features)) {
    for (const [name, check] of Object.entries(checks)) {
      let error = "";
      try {
        await check();
      } catch (e) {
        error = String(e?.stack ?? e).slice(0, 2000);
        if (e?.cause) error += ` cause: ${String(e.cause).slice(0, 500)}`;
      }
      results.push({ client, feature, name, error });
    }
  }
}

// report writes all results as lines of JSON.
export function report() {
  for (const r of results) console.log(JSON.stringify(r));
}

export function want(ok, what) {
  if (!ok) throw new Error(`want ${what}`);
}

// throws gives the error that a promise ends with.
export async function throws(promise) {
  try {
    await promise;
  } catch (e) {
    return e;
  }
  throw new Error("want an error, and there was none");
}

// Forms that even a model without a clue gets right in a few tokens, as it is held to them.
export const person = {
  type: "object",
  properties: { name: { type: "string", enum: ["Ada", "Grace"] }, born: { type: "integer", minimum: 1000, maximum: 2000 } },
  required: ["name", "born"],
  additionalProperties: false,
};

export function isPerson(v) {
  return ["Ada", "Grace"].includes(v?.name) && Number.isInteger(v.born) && v.born >= 1000 && v.born <= 2000;
}

export const weather = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Lima"] } },
  required: ["city"],
  additionalProperties: false,
};
