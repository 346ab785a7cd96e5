//! Five rules on chat requests, beside what else could do the same, and beside scans that do nothing.
//!
//! `cargo bench -p portcullis-param-mapping` prints the table that is in the README.
#![expect(
    clippy::cast_precision_loss,
    reason = "rates and ratios of numbers that a float holds exactly"
)]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jaq_core::{Compiler, Ctx, Vars, data, load, unwrap_valr};
use jaq_json::Val;
use portcullis_param_mapping::{Mapping, Rule, Transform};
use serde_json::{Number, Value};
use sonic_rs::{JsonValueMutTrait, JsonValueTrait};

/// What a contender does with a document: it returns how many bytes there are then.
type Work = Box<dyn Fn(&Bytes) -> usize>;

struct Contender {
    name: &'static str,
    /// Whether it does what the rules say; the others only look.
    maps: bool,
    work: Work,
}

/// One contender's times for one document.
#[derive(Default)]
struct Cell {
    times: Vec<f64>,
    allocations: u64,
    bytes: u64,
}

fn contenders() -> Vec<Contender> {
    let contender = |name, maps, work| Contender { name, maps, work };
    vec![
        contender(OURS, true, ours()),
        contender(VALUE, true, Box::new(value)),
        contender("simd-json values", true, Box::new(simd)),
        contender("sonic-rs values", true, Box::new(sonic)),
        contender("jaq", true, jaq()),
        contender(SCAN, false, Box::new(ignored)),
        contender("serde_json RawValue members", false, Box::new(raw)),
        contender("sonic-rs lazy members", false, Box::new(lazy)),
        contender("no rule for the body", false, untouched()),
    ]
}

fn at(text: &str) -> portcullis_param_mapping::Address {
    text.parse().expect("a valid address")
}

fn ours() -> Work {
    let limits = Transform::clamp(Number::from(0), Number::from(1));
    let mapping = Mapping::builder()
        .rule(Rule::rename(
            at("body:/max_tokens"),
            at("body:/max_completion_tokens"),
        ))
        .rule(Rule::rename(
            at("body:/top_p"),
            at("body:/generation/top_p"),
        ))
        .rule(Rule::default(at("body:/seed"), 7))
        .rule(Rule::remove(at("body:/user")))
        .rule(Rule::update(at("body:/temperature"), limits))
        .build()
        .expect("valid rules");
    Box::new(move |document| {
        let mapped = mapping.apply(document).expect("a valid document");
        black_box(&mapped).len()
    })
}

fn untouched() -> Work {
    let mapping = Mapping::builder()
        .rule(Rule::remove(at("header:authorization")))
        .build();
    let mapping = mapping.expect("valid rules");
    Box::new(move |document| {
        let mapped = mapping.apply(document).expect("a valid document");
        black_box(&mapped).len()
    })
}

fn value(document: &Bytes) -> usize {
    let mut value: Value = serde_json::from_slice(document).expect("a valid document");
    let members = value.as_object_mut().expect("an object");
    if let Some(tokens) = members.shift_remove("max_tokens") {
        members.insert("max_completion_tokens".to_owned(), tokens);
    }
    if let Some(top_p) = members.shift_remove("top_p") {
        members.insert("generation".to_owned(), serde_json::json!({"top_p": top_p}));
    }
    if members.get("seed").is_none_or(Value::is_null) {
        members.insert("seed".to_owned(), 7.into());
    }
    members.shift_remove("user");
    if let Some(temperature) = members.get_mut("temperature")
        && let Some(number) = temperature.as_f64()
    {
        *temperature = number.clamp(0.0, 1.0).into();
    }
    let bytes = serde_json::to_vec(&value).expect("a value can be written");
    black_box(bytes).len()
}

fn simd(document: &Bytes) -> usize {
    use simd_json::prelude::{MutableObject, ValueAsMutObject, ValueAsScalar, ValueObjectAccess};

    let mut input = document.to_vec();
    let mut value = simd_json::to_owned_value(&mut input).expect("a valid document");
    let top_p = value.remove("top_p").ok().flatten();
    let tokens = value.remove("max_tokens").ok().flatten();
    let temperature = value.get("temperature").and_then(|value| value.as_f64());
    let members = value.as_object_mut().expect("an object");
    if let Some(tokens) = tokens {
        members.insert("max_completion_tokens".to_owned(), tokens);
    }
    if let Some(top_p) = top_p {
        let nested = simd_json::json!({"top_p": top_p});
        members.insert("generation".to_owned(), nested);
    }
    if members.get("seed").is_none() {
        members.insert("seed".to_owned(), 7.into());
    }
    members.remove("user");
    if let Some(number) = temperature {
        members.insert("temperature".to_owned(), number.clamp(0.0, 1.0).into());
    }
    let bytes = simd_json::to_vec(&value).expect("a value can be written");
    black_box(bytes).len()
}

fn sonic(document: &Bytes) -> usize {
    let mut value: sonic_rs::Value = sonic_rs::from_slice(document).expect("a valid document");
    let temperature = value.get("temperature").and_then(|value| value.as_f64());
    let members = value.as_object_mut().expect("an object");
    if let Some(tokens) = members.remove(&"max_tokens") {
        members.insert(&"max_completion_tokens", tokens);
    }
    if let Some(top_p) = members.remove(&"top_p") {
        members.insert(&"generation", sonic_rs::json!({"top_p": top_p}));
    }
    if members.get(&"seed").is_none() {
        members.insert(&"seed", 7);
    }
    members.remove(&"user");
    if let Some(number) = temperature {
        members.insert(&"temperature", sonic_rs::json!(number.clamp(0.0, 1.0)));
    }
    let bytes = sonic_rs::to_vec(&value).expect("a value can be written");
    black_box(bytes).len()
}

fn jaq() -> Work {
    let filter = r"
        .max_completion_tokens = .max_tokens | .generation = {top_p} | .seed //= 7
        | .temperature |= (if . > 1 then 1 elif . < 0 then 0 else . end) | del(.max_tokens, .top_p, .user)";
    let program = load::File {
        code: filter,
        path: (),
    };
    let arena = load::Arena::default();
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let loader = load::Loader::new(definitions);
    let modules = loader.load(&arena, program).expect("a valid program");
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let filter = Compiler::default().with_funs(functions).compile(modules);
    let filter = filter.expect("a valid program");
    Box::new(move |document| {
        let input = jaq_json::read::parse_single(document).expect("a valid document");
        let context = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
        let mut outputs = filter.id.run((context, input)).map(unwrap_valr);
        let output = outputs.next().expect("one output").expect("no error");
        black_box(output.to_string()).len()
    })
}

fn ignored(document: &Bytes) -> usize {
    serde_json::from_slice::<serde::de::IgnoredAny>(document).expect("a valid document");
    document.len()
}

fn raw(document: &Bytes) -> usize {
    let members: std::collections::HashMap<&str, &serde_json::value::RawValue> =
        serde_json::from_slice(document).expect("a valid document");
    black_box(members).len()
}

fn lazy(document: &Bytes) -> usize {
    let members = sonic_rs::to_object_iter(document);
    let spans = members.map(|member| member.expect("a valid document").1.as_raw_str().len());
    black_box(spans.sum())
}

/// A chat request of about this size: messages of a few hundred characters with line ends and quotes in them, and a dozen parameters.
fn chat(size: usize) -> Bytes {
    let text = "The quick brown fox jumps over the lazy dog, says \"woof\"\nand is told that this sentence is long \
                enough to look like what people write to a model when they ask it something that matters to them. ";
    let mut messages =
        vec![serde_json::json!({"role": "system", "content": "You are a helpful assistant."})];
    let mut written = 400;
    while written < size {
        let length = (size - written).min(text.len() * 4);
        let content: String = text.chars().cycle().take(length).collect();
        let role = if messages.len().is_multiple_of(2) {
            "user"
        } else {
            "assistant"
        };
        messages.push(serde_json::json!({"role": role, "content": content}));
        written += length + 40;
    }
    let request = serde_json::json!({
        "model": "gpt-4o-mini",
        "temperature": 1.7,
        "top_p": 0.9,
        "max_tokens": 512,
        "user": "user-1234",
        "stream": false,
        "stop": ["\n\n", "END"],
        "messages": messages,
        "tools": [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}],
        "presence_penalty": 0.1,
        "logit_bias": {"50256": -100},
        "metadata": {"tenant": "blue", "trace": "4bf92f3577b34da6a3ce929d0e0e4736"},
    });
    request.to_string().into()
}

fn measure(contender: &Contender, document: &Bytes, cell: &mut Cell, calls: usize) {
    let mut time = Duration::ZERO;
    allocation_counter::opt_out(|| {
        let started = Instant::now();
        for _ in 0..calls {
            black_box((contender.work)(black_box(document)));
        }
        time = started.elapsed();
    });
    cell.times.push(time.as_secs_f64() / calls as f64);
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn main() {
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let (rounds, budget) = if is_bench { (61, 400_000) } else { (1, 1_500) };
    let documents = [
        ("1 KB", chat(1024)),
        ("32 KB", chat(32 * 1024)),
        ("1 MB", chat(1024 * 1024)),
    ];
    let contenders = contenders();
    let mut table: Vec<Vec<Cell>> = Vec::new();
    for (_, document) in &documents {
        let calls = (budget / document.len()).max(1);
        let mut cells: Vec<_> = contenders.iter().map(|_| Cell::default()).collect();
        for (contender, cell) in contenders.iter().zip(&mut cells) {
            // Bodies arrive as vectors; the first slice of one makes its counter.
            let document = Bytes::from(document.to_vec());
            let info = allocation_counter::measure(|| {
                black_box((contender.work)(&document));
            });
            (cell.allocations, cell.bytes) = (info.count_total, info.bytes_total);
        }
        for round in 0..rounds {
            for index in 0..contenders.len() {
                // Who is first changes.
                let index = (index + round) % contenders.len();
                if let (Some(contender), Some(cell)) = (contenders.get(index), cells.get_mut(index))
                {
                    measure(contender, document, cell, calls);
                }
            }
        }
        table.push(cells);
    }

    let titles: Vec<_> = documents
        .iter()
        .map(|(title, document)| format!("{title} ({} bytes)", document.len()))
        .collect();
    println!("| GB/s, allocations | {} |", titles.join(" | "));
    println!("|---|{}", "--:|".repeat(titles.len()));
    for (index, contender) in contenders.iter().enumerate() {
        let cells = documents
            .iter()
            .zip(&table)
            .filter_map(|((_, document), cells)| {
                let cell = cells.get(index)?;
                let rate = document.len() as f64 / median(cell.times.clone()) / 1e9;
                Some(format!(
                    "{rate:.2}, {} ({} B)",
                    cell.allocations, cell.bytes
                ))
            });
        let cells: Vec<_> = cells.collect();
        let kind = if contender.maps { "" } else { " (only looks)" };
        println!("| {}{kind} | {} |", contender.name, cells.join(" | "));
    }
    for base in [VALUE, SCAN] {
        let of = |name| {
            contenders
                .iter()
                .position(|contender| contender.name == name)
        };
        let ratios = table.iter().filter_map(|cells| {
            let (ours, base) = (cells.get(of(OURS)?)?, cells.get(of(base)?)?);
            let pairs = base.times.iter().zip(&ours.times);
            Some(format!(
                "{:.1}",
                median(pairs.map(|(base, ours)| base / ours).collect())
            ))
        });
        let ratios: Vec<_> = ratios.collect();
        println!("| ours : {base} | {} |", ratios.join(" | "));
    }
}

const OURS: &str = "ours";
const VALUE: &str = "serde_json::Value round trip";
const SCAN: &str = "serde_json IgnoredAny";
