// Asking the server.

export class Refused extends Error {
  // column: where in the query the mistake is, from 1; undefined: it is none of the query.
  constructor(message, column) {
    super(message);
    this.column = column;
  }
}

async function answered(response) {
  const text = await response.text();
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Refused(text.trim() || `the server answered with ${response.status}`);
  }
  if (!response.ok) throw new Refused(told.error, told.column);
  return told;
}

async function fetched(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server does not answer: is `tfstream view` still running?");
  }
}

function parameters(given) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && value !== "") asked.set(name, value);
  }
  return asked;
}

export async function get(what, given = {}, signal = undefined) {
  return answered(await fetched(`/api/${what}?${parameters(given)}`, { signal }));
}

// What comes as lines of JSON: some of them at a time, as they arrive.
export async function* lines(what, given, signal) {
  const response = await fetched(`/api/${what}?${parameters(given)}`, { signal });
  if (!response.ok) await answered(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const complete = (rest + value).split("\n");
    rest = complete.pop();
    if (complete.length) yield complete.map((line) => JSON.parse(line));
  }
}

export async function post(what, given) {
  return answered(
    await fetched(`/api/${what}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(given),
    }),
  );
}
