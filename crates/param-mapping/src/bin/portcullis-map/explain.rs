//! A mapping in words: one sentence a rule.

use std::fmt::{Display, Write};

use portcullis_param_mapping::{
    Address, AddressesOr, Base, Config, Is, Many, OnError, RuleConfig, RulesConfig, State,
    Unmapped, When,
};
use serde::Serialize;
use serde_json::Value;

pub(crate) fn config(config: Config) -> String {
    let mut out = String::new();
    if let Some(route) = config.route {
        let methods = route.methods.join(" or ");
        let path = route.path.unwrap_or_else(|| "any path".to_owned());
        let asked = format!("{methods} {path}");
        line(&mut out, 0, format_args!("Only for {}.", asked.trim()));
    }
    let request = config.request.unwrap_or_default();
    let is_named = request != RulesConfig::default();
    settings(&mut out, "request", &request);
    rules(
        &mut out,
        0,
        if is_named { "request." } else { "" },
        request.rules,
    );
    rules(&mut out, 0, "", config.rules);
    if let Some(response) = config.response {
        settings(&mut out, "response", &response);
        rules(&mut out, 0, "response.", response.rules);
    }
    if let Some(stream) = config.stream {
        for (name, state) in &stream.state {
            let path = format!("stream.state.{name}");
            line(&mut out, 0, format_args!("{path}: keeps {}.", kept(state)));
        }
        rules(&mut out, 0, "stream.", stream.rules);
    }
    if out.is_empty() {
        out.push_str("Does nothing.\n");
    }
    out
}

/// What is kept from event to event.
fn kept(state: &State) -> String {
    let among = |when: &Option<When>| match when {
        Some(when) => format!("those where {}", condition(when)),
        None => "all".to_owned(),
    };
    let from = |list: &[Address]| named(&Many::from(list.to_vec()), " or ");
    match state {
        State::Counter(when) => format!("how many events there were, of {}", among(when)),
        State::Once(when) => format!("whether the event is the first, of {}", among(when)),
        State::Remember(list) => format!("the last value of {}", from(list)),
        State::Accumulate(list) => format!("all texts of {}, one behind the other", from(list)),
        _ => "something".to_owned(),
    }
}

fn settings(out: &mut String, side: &str, rules: &RulesConfig) {
    if rules.base == Base::Empty {
        line(
            out,
            0,
            format_args!("{side}: the body starts empty, so only what a rule writes is in it."),
        );
    }
    match rules.unmapped {
        Unmapped::Drop => line(
            out,
            0,
            format_args!("{side}: leaves out members that no rule names."),
        ),
        Unmapped::Reject => line(
            out,
            0,
            format_args!("{side}: refuses a message with members that no rule names."),
        ),
        _ => {}
    }
}

fn rules(out: &mut String, depth: usize, prefix: &str, list: Vec<RuleConfig>) {
    for (index, mut rule) in list.into_iter().enumerate() {
        let path = format!("{prefix}rules[{index}]");
        let inner = rule.rules.take().unwrap_or_default();
        line(out, depth, format_args!("{path}: {}.", sentence(rule)));
        rules(out, depth + 1, &format!("{path}."), inner);
    }
}

fn line(out: &mut String, depth: usize, text: impl Display) {
    // To a `String` nothing fails to be written.
    let _ = writeln!(out, "{:indent$}{text}", "", indent = depth * 2);
}

fn sentence(rule: RuleConfig) -> String {
    let mut words = when_first(rule.when.as_ref());
    let is_verb = action(&rule, &mut words);
    if let Some(with) = rule.with {
        let with: Vec<_> = with.into_vec().iter().map(word).collect();
        words.push_str(&format!(", by {}", with.join(", then ")));
    }
    if is_verb && let Some(default) = &rule.default {
        let default = said(default);
        words.push_str(&format!("; {default} stands for what is missing or null"));
    }
    if matches!(rule.require, Some(AddressesOr::Other(true))) {
        words.push_str("; refuses the message where there is no value");
    }
    words.push_str(match rule.on_error {
        Some(OnError::Drop) => "; drops it where that cannot be done",
        Some(OnError::Keep) => "; leaves all as it is where that cannot be done",
        Some(OnError::Default) => "; writes the default where that cannot be done",
        _ => "",
    });
    words
}

/// What the verb does; and whether `default` beside it is a setting.
fn action(rule: &RuleConfig, words: &mut String) -> bool {
    let to = || list(rule.to.as_ref(), " and ");
    let source = source(rule);
    let mut say = |text: String| words.push_str(&text);
    if let Some(from) = &rule.move_from {
        say(format!("moves {} to {}", first_of(from), to()));
    } else if let Some(from) = &rule.copy {
        say(format!("copies {} to {}", first_of(from), to()));
    } else if let Some(at) = &rule.set {
        say(format!("writes {source} at {}", named(at, " and ")));
    } else if let Some(at) = &rule.replace {
        say(format!(
            "writes {source} at {} if something is there",
            named(at, " and ")
        ));
    } else if let Some(at) = &rule.add {
        say(format!(
            "writes {source} at {} if nothing is there",
            named(at, " and ")
        ));
    } else if let Some(at) = &rule.append {
        say(format!(
            "adds {source} behind all at {}",
            named(at, " and ")
        ));
    } else if let Some(at) = &rule.prepend {
        say(format!(
            "adds {source} in front of all at {}",
            named(at, " and ")
        ));
    } else if let Some(at) = &rule.merge {
        say(format!(
            "lays {source} over {} as a merge patch",
            named(at, " and ")
        ));
    } else if let Some(at) = &rule.update {
        say(format!("changes {}", named(at, " and ")));
    } else if let Some(at) = &rule.remove {
        say(format!("removes {}", named(at, " and ")));
    } else if let Some(at) = &rule.allow {
        say(format!("removes all beside {}", named(at, " and ")));
    } else if let Some(at) = &rule.test {
        let value = rule.value.as_ref().map(said).unwrap_or_default();
        say(format!("refuses the message where {at} is not {value}"));
    } else if let Some(at) = &rule.for_each {
        let kept = rule
            .keep
            .as_ref()
            .map(|keep| format!(" for which {}", condition(keep)));
        let kept = kept.unwrap_or_default();
        let elements = format!("each element of {}{kept}", named(at, " and "));
        match (&rule.to, &rule.keep) {
            (Some(_), _) => say(format!("writes {elements} to {}", to())),
            (None, Some(_)) => say(format!("keeps {elements}")),
            (None, None) => say(format!("maps {elements}")),
        }
    } else if let Some(AddressesOr::Addresses(at)) = &rule.require {
        say(format!(
            "refuses the message where {} is missing",
            named(at, " or ")
        ));
    } else if let Some(at) = &rule.default {
        let at = match at.as_array() {
            Some(list) => list.iter().map(text).collect::<Vec<_>>().join(" and "),
            None => text(at),
        };
        say(format!(
            "writes {source} at {at} if nothing or null is there"
        ));
        return false;
    }
    true
}

fn source(rule: &RuleConfig) -> String {
    if let Some(value) = &rule.value {
        said(value)
    } else if let Some(template) = &rule.template {
        format!("the text {template:?}")
    } else if let Some(from) = &rule.from {
        format!("what is at {}", first_of(from))
    } else if let Some(sum) = &rule.sum {
        format!("the sum of {}", named(sum, " and "))
    } else if let Some(generate) = &rule.generate {
        format!("a new {}", word(generate))
    } else {
        String::new()
    }
}

fn when_first(when: Option<&When>) -> String {
    when.map_or_else(String::new, |when| format!("where {}: ", condition(when)))
}

fn condition(when: &When) -> String {
    let joined = |list: &[When], word: &str| {
        let parts: Vec<_> = list.iter().map(condition).collect();
        parts.join(word)
    };
    match when {
        When::All(list) => joined(list, " and "),
        When::Any(list) => format!("({})", joined(list, " or ")),
        When::Not(when) => format!("not ({})", condition(when)),
        When::At(address, is) => format!("{address} {}", test(is)),
        other => said(other),
    }
}

fn test(is: &Is) -> String {
    match is {
        Is::Exists => "is there".to_owned(),
        Is::Missing => "is missing".to_owned(),
        Is::Null(true) => "is null".to_owned(),
        Is::Null(false) => "is not null".to_owned(),
        Is::Eq(value) => format!("is {}", said(value)),
        Is::Ne(value) => format!("is not {}", said(value)),
        Is::In(values) => format!("is one of {}", said(values)),
        Is::Gt(limit) => format!("is more than {limit}"),
        Is::Gte(limit) => format!("is at least {limit}"),
        Is::Lt(limit) => format!("is less than {limit}"),
        Is::Lte(limit) => format!("is at most {limit}"),
        Is::Matches(pattern) => format!("matches {pattern:?}"),
        Is::Glob(glob) => format!("looks like {glob:?}"),
        Is::Type(kind) => format!("has the type {}", word(kind)),
        other => said(other),
    }
}

fn first_of(addresses: &Many<Address>) -> String {
    let addresses = addresses.clone().into_vec();
    match &*addresses {
        [one] => one.to_string(),
        _ => {
            let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("the first of {} that is there", all.join(", "))
        }
    }
}

fn list(addresses: Option<&Many<Address>>, word: &str) -> String {
    addresses
        .map(|addresses| named(addresses, word))
        .unwrap_or_default()
}

fn named(addresses: &Many<Address>, word: &str) -> String {
    let addresses = addresses.clone().into_vec();
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    all.join(word)
}

/// A constant, as JSON.
fn said(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A word of the language, with what is said of it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(members)) => {
            let members = members.iter();
            let members = members.map(|(name, value)| format!("{name} {}", text(value)));
            members.collect()
        }
        _ => String::new(),
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
