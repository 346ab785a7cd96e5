use serde_json::{Value, json};

use super::*;

fn refused(request: &Value) -> (String, String) {
    let text = request.to_string();
    let json = Json::parse(text.as_bytes(), "it").unwrap();
    let error = Chat::parse(json).unwrap_err();
    assert_eq!(error.status(), 400);
    (
        error.error_param().unwrap_or_default().to_owned(),
        error.to_string(),
    )
}

fn with(messages: &Value) -> Value {
    json!({"model": "m", "messages": messages})
}

#[test]
fn what_is_no_chat_is_refused_with_its_place() {
    let user = || json!({"role": "user", "content": "hi"});
    for (request, param, message) in [
        (json!([]), "", "a request is an object, not an array"),
        (json!({"messages": []}), "model", "`model` is missing"),
        (json!({"model": null}), "model", "`model` is missing"),
        (
            json!({"model": 1}),
            "model",
            "`model` must be a string, is a number",
        ),
        (
            json!({"model": "m"}),
            "messages",
            "`messages` must be an array",
        ),
        (
            with(&json!([])),
            "messages",
            "`messages` must hold at least one message",
        ),
        (
            with(&json!([1])),
            "messages[0]",
            "a message is an object, not a number",
        ),
        (
            with(&json!([user(), {}])),
            "messages[1].role",
            "`messages[1].role` is missing",
        ),
        (
            with(&json!([{"role": "judge"}])),
            "messages[0].role",
            "`judge` is not a role",
        ),
        (
            with(&json!([{"role": "user", "content": 5}])),
            "messages[0].content",
            "a content is a string or an array, not a number",
        ),
        (
            with(&json!([{"role": "user", "content": [{"type": "smell"}]}])),
            "messages[0].content[0].type",
            "`smell` is not a kind of content",
        ),
        (
            with(&json!([{"role": "user", "content": [{"type": "text"}]}])),
            "messages[0].content[0].text",
            "`messages[0].content[0].text` is missing",
        ),
        (
            with(&json!([{"role": "assistant", "tool_calls": [{"id": "a"}]}])),
            "messages[0].tool_calls[0].function.name",
            "`messages[0].tool_calls[0].function.name` is missing",
        ),
        (
            json!({"model": "m", "messages": [user()], "stream": "yes"}),
            "stream",
            "`stream` must be a boolean, is a string",
        ),
        (
            json!({"model": "m", "messages": [user()], "tool_choice": "some"}),
            "tool_choice",
            "`some` is not a choice of tools",
        ),
        (
            json!({"model": "m", "messages": [user()], "tools": [{"type": "custom"}]}),
            "tools[0].type",
            "tools of the type `custom` are not known",
        ),
        (
            json!({"model": "m", "messages": [user()], "response_format": {"type": "xml"}}),
            "response_format.type",
            "`xml` is not a format of replies",
        ),
    ] {
        assert_eq!(
            refused(&request),
            (param.to_owned(), message.to_owned()),
            "{request}"
        );
    }
}

#[test]
fn a_member_that_is_given_twice_is_refused() {
    for (members, name) in [
        (r#""model":"b""#, "model"),
        (r#""seed":1,"n":1,"seed":null"#, "seed"),
        (r#""s\u0065ed":1,"seed":2"#, "seed"),
    ] {
        let text = format!(r#"{{"model":"a",{members},"messages":[{{"role":"user"}}]}}"#);

        let error = Chat::parse(Json::parse(text.as_bytes(), "it").unwrap()).unwrap_err();

        assert_eq!(error.to_string(), format!("`{name}` is given twice"));
    }
}

#[test]
fn turns_alternate_and_answers_of_tools_come_first() {
    let request = with(&json!([
        {"role": "system", "content": "s1"},
        {"role": "user", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "s2"}, {"type": "text", "text": ""}]},
        {"role": "user", "content": "b"},
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "user", "content": "c"},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
    ]))
    .to_string();
    let chat = Chat::parse(Json::parse(request.as_bytes(), "it").unwrap()).unwrap();

    let turns = chat.turns();
    let turns: Vec<_> = turns
        .iter()
        .map(|turn| {
            let positions = turn.messages.iter().map(|message| message.position);
            (turn.is_assistant, positions.collect::<Vec<_>>())
        })
        .collect();

    assert_eq!(
        turns,
        [(false, vec![1, 3]), (true, vec![4]), (false, vec![6, 5])]
    );
    let system: Vec<_> = chat.system().map(Text::decode).collect();
    assert_eq!(system, ["s1", "s2"]);
    let answered = chat.answered_function(chat.messages.last().unwrap());
    assert_eq!(answered.unwrap().decode(), "f");
}

#[test]
fn deprecated_functions_are_tools() {
    let request = json!({"model": "m", "functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}, "messages": [
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ]})
    .to_string();

    let chat = Chat::parse(Json::parse(request.as_bytes(), "it").unwrap()).unwrap();

    assert_eq!(chat.functions.len(), 1);
    assert!(matches!(chat.tool_choice, Some(ToolChoice::Function(name)) if name.is("f")));
    let [call, answer] = chat.messages.as_slice() else {
        panic!("two messages")
    };
    let id = call.tool_calls.first().unwrap().id;
    assert_eq!(
        answer.tool_call_id.map(|id| id.decode().into_owned()),
        Some("call_0".to_owned())
    );
    assert!(answer.tool_call_id.unwrap().is(&id));
}

#[test]
fn a_chat_has_a_limit_of_messages() {
    let of = |count| with(&vec![json!({"role": "user"}); count].into());

    let fits = of(MAX_MESSAGES).to_string();
    let refused = refused(&of(MAX_MESSAGES + 1));

    assert!(Chat::parse(Json::parse(fits.as_bytes(), "it").unwrap()).is_ok());
    assert_eq!(refused.1, "`messages` must hold at most 100000 messages");
}

#[test]
fn an_answer_belongs_to_the_last_call_of_its_id_before_it() {
    let call = |id: &str, name: &str| json!({"role": "assistant", "tool_calls": [{"id": id, "function": {"name": name}}]});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "r"});
    let request = with(&json!([
        answer("1"),
        call("1", "f"),
        call("2", "g"),
        answer("1"),
        call("1", "h"),
        answer("1"),
        answer("2"),
        answer("call_1"),
    ]))
    .to_string();
    let chat = Chat::parse(Json::parse(request.as_bytes(), "it").unwrap()).unwrap();

    let answers = chat.messages.iter().filter(|it| it.role == Role::Tool);
    let names: Vec<_> = answers
        .map(|answer| chat.answered_function(answer).ok())
        .map(|name| name.map(|name| name.decode().into_owned()))
        .collect();

    let names: Vec<_> = names.iter().map(Option::as_deref).collect();
    assert_eq!(names, [None, Some("f"), Some("h"), Some("g"), None]);
}

// Each answer looked for among all calls before it would be four hundred million steps.
#[test]
fn calls_are_found_in_one_walk() {
    const COUNT: usize = 20_000;
    let mut messages = Vec::with_capacity(2 * COUNT);
    for index in 0..COUNT {
        let id = format!("c{index}");
        messages.push(json!({"role": "assistant", "function_call": {"name": id, "arguments": ""}}));
    }
    messages.extend((0..COUNT).map(|_| json!({"role": "function", "name": "c0", "content": ""})));
    let request = with(&messages.into()).to_string();
    let json = Json::parse(request.as_bytes(), "it").unwrap();

    let chat = Chat::parse(json).unwrap();

    let last = chat.messages.last().unwrap();
    assert!(chat.answered_function(last).unwrap().is("c0"));
}
