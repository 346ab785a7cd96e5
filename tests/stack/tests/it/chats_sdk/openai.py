"""Asks for chats by OpenAI's own client, and prints what came as JSON."""

import json
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="caller-key", max_retries=0)
model = sys.argv[2]
tools = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def ask(text, **more):
    return client.chat.completions.create(model=model, max_tokens=64, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}], **more)


told = {"errors": {}}
reply = ask("hello", temperature=0)
told["text"] = [reply.choices[0].message.content, reply.choices[0].finish_reason, reply.usage.total_tokens, reply.object]
chunks = list(ask("hello", stream=True, stream_options={"include_usage": True}))
choices = [choice for chunk in chunks for choice in chunk.choices]
told["stream"] = ["".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason, chunks[-1].usage.total_tokens]
if "tools" in sys.argv[3:]:
    message = ask("weather", tools=tools).choices[0]
    call = message.message.tool_calls[0]
    told["tool"] = [message.finish_reason, call.function.name, json.loads(call.function.arguments)]
    reply = client.chat.completions.create(
        model=model,
        tools=tools,
        messages=[
            {"role": "user", "content": "weather"},
            message.message.to_dict(),
            {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
        ],
    )
    told["result"] = reply.choices[0].message.content
for text in ["busy", "denied"]:
    try:
        ask(text)
    except openai.APIStatusError as error:
        told["errors"][text] = [type(error).__name__, error.status_code, error.body["message"]]
print(json.dumps(told))
