"""Asks for messages by Anthropic's own client, and prints what came as JSON."""

import json
import sys

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="caller-key", max_retries=0)
tools = [{"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def ask(text, **more):
    return client.messages.create(model="gpt", max_tokens=64, messages=[{"role": "user", "content": text}], **more)


told = {}
message = ask("hello", system="Be brief.", stop_sequences=["END"])
told["text"] = [message.content[0].text, message.stop_reason, message.usage.input_tokens, message.usage.output_tokens, message.role]
message = ask("weather", tools=tools, tool_choice={"type": "any"})
told["tool"] = [message.stop_reason, message.content[-1].type, message.content[-1].name, message.content[-1].input]
call = message.content[-1]
message = client.messages.create(
    model="gpt",
    max_tokens=64,
    tools=tools,
    messages=[
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}]},
    ],
)
told["result"] = message.content[0].text
for kind in ["hello", "weather"]:
    with client.messages.stream(model="gpt", max_tokens=64, tools=tools, messages=[{"role": "user", "content": kind}]) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    told["stream " + kind] = [pieces, final.stop_reason, final.usage.output_tokens, [block.type for block in final.content]]
told["errors"] = {}
for text in ["busy", "denied", "broken"]:
    try:
        ask(text)
    except anthropic.APIStatusError as error:
        told["errors"][text] = [type(error).__name__, error.status_code, error.body["error"]["type"], error.body["error"]["message"]]
try:
    with client.messages.stream(model="gpt", max_tokens=64, messages=[{"role": "user", "content": "cut"}]) as stream:
        stream.get_final_message()
except anthropic.APIStatusError as error:
    told["errors"]["cut"] = [type(error).__name__, error.body["error"]["type"]]
print(json.dumps(told))
