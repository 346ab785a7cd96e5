// Asks for chats by OpenAI's own client for Node, and prints what came as JSON.
import { createRequire } from "node:module";

const [modules, url, model] = process.argv.slice(2);
const OpenAI = createRequire(modules + "/")("openai").default;
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "caller-key", maxRetries: 0 });
const ask = (text, more) =>
  client.chat.completions.create({ model, max_tokens: 64, messages: [{ role: "user", content: text }], ...more });
const reply = await ask("hello");
let streamed = "";
for await (const chunk of await ask("hello", { stream: true })) streamed += chunk.choices[0]?.delta?.content ?? "";
const error = await ask("busy").catch((error) => [error.constructor.name, error.status]);
console.log(JSON.stringify({ text: reply.choices[0].message.content, streamed, error }));
