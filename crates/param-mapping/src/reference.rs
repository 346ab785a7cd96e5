//! Every word of the language with an example: a rule, a body, and what becomes of it. There are no items in this module.
//!
//! What they have in common is on the [crate page](crate#the-language); whole mappings are in the [cookbook](crate::cookbook).
//! `!` is what the caller is told where the message is refused. [Verbs](#verbs), [settings](#settings-of-a-rule), [sources](#sources),
//! [transforms](#transforms), [conditions](#conditions).
//!
//! # Verbs
//! | rule | body | becomes |
//! |---|---|---|
//! | `{move: body:/a, to: body:/b}` | `{"a":1}` | `{"b":1}` |
//! | `{rename: [body:/a, body:/b], to: body:/c}` | `{"a":1,"b":2}` | `{"c":1}` |
//! | `{copy: body:/a, to: [body:/b, body:/c/d]}` | `{"a":1}` | `{"a":1,"b":1,"c":{"d":1}}` |
//! | `{set: body:/a, value: 7}` | `{"a":1}` | `{"a":7}` |
//! | `{set: body:/a/-, value: 7}` | `{"a":[1]}` | `{"a":[1,7]}` |
//! | `{replace: body:/a, value: 7}` | `{"b":1}` | `{"b":1}` |
//! | `{add: body:/a, value: 7}` | `{"a":null}` | `{"a":null}` |
//! | `{default: body:/a, value: 7}` | `{"a":null}` | `{"a":7}` |
//! | `{append: body:/a, value: 7}` | `{"a":[1]}` | `{"a":[1,7]}` |
//! | `{prepend: body:/a, value: 7}` | `{}` | `{"a":[7]}` |
//! | `{merge: body:/a, value: {b: 7, c: null}}` | `{"a":{"b":1,"c":2,"d":3}}` | `{"a":{"b":7,"d":3}}` |
//! | `{update: body:/a, with: negate}` | `{"a":true}` | `{"a":false}` |
//! | `{update: "body:$.a[*].b", with: upper}` | `{"a":[{"b":"x"},{"b":"y"}]}` | `{"a":[{"b":"X"},{"b":"Y"}]}` |
//! | `{remove: body:/a}` | `{"a":1,"b":2}` | `{"b":2}` |
//! | `{remove: "body:$.a[-1]"}` | `{"a":[1,2,3]}` | `{"a":[1,2]}` |
//! | `{allow: [body:/a, body:/b/c]}` | `{"a":1,"b":{"c":2,"d":3},"e":4}` | `{"a":1,"b":{"c":2}}` |
//! | `{require: body:/a}` | `{}` | `! required parameter body:/a is missing` |
//! | `{test: body:/a, value: 1}` | `{"a":2}` | `! body:/a is not what it must be` |
//! | `{for_each: body:/a, rules: [{remove: item:/b}]}` | `{"a":[{"b":1},{"c":2}]}` | `{"a":[{},{"c":2}]}` |
//! | `{for_each: body:/a, keep: {"item:": {gt: 1}}, to: body:/b}` | `{"a":[1,2,3]}` | `{"a":[1,2,3],"b":[2,3]}` |
//!
//! # Settings of a rule
//! | rule | body | becomes |
//! |---|---|---|
//! | `{move: body:/a, to: body:/b, default: 7}` | `{"a":null}` | `{"b":7}` |
//! | `{move: body:/a, to: body:/b, require: true}` | `{}` | `! required parameter body:/a is missing` |
//! | `{remove: body:/a, when: {body:/b: true}}` | `{"a":1,"b":false}` | `{"a":1,"b":false}` |
//! | `{update: body:/a, with: {validate: {max: 1}}, on_error: reject}` | `{"a":2}` | `! body:/a must be at most 1` |
//! | `{update: body:/a, with: {validate: {max: 1}}, on_error: drop}` | `{"a":2}` | `{}` |
//! | `{update: body:/a, with: {validate: {max: 1}}, on_error: keep}` | `{"a":2}` | `{"a":2}` |
//! | `{update: body:/a, with: {validate: {max: 1}}, on_error: default, default: 0}` | `{"a":2}` | `{"a":0}` |
//!
//! # Sources
//! Beside `set`, `replace`, `add`, `default`, `append`, `prepend` and `merge`; see [`Source`](crate::Source) and [`Generate`](crate::Generate).
//!
//! | rule | body | becomes |
//! |---|---|---|
//! | `{set: body:/a, value: [1, null]}` | `{}` | `{"a":[1,null]}` |
//! | `{set: body:/a, template: "{body:/b}, {{{body:/c}}}"}` | `{"b":"x","c":2}` | `{"b":"x","c":2,"a":"x, {2}"}` |
//! | `{set: body:/a, from: [body:/b, body:/c]}` | `{"c":2}` | `{"c":2,"a":2}` |
//! | `{set: body:/a, from: "body:$.b[*].c"}` | `{"b":[{"c":1},{"c":2}]}` | `{"b":[{"c":1},{"c":2}],"a":[1,2]}` |
//! | `{set: body:/a, sum: [body:/b, body:/c]}` | `{"b":1,"c":2}` | `{"b":1,"c":2,"a":3}` |
//! | `{set: body:/a, generate: uuid}` | `{}` | `{"a":"0b6f..` |
//! | `{set: body:/a, generate: uuid_v7}` | `{}` | `{"a":"0194..` |
//! | `{set: body:/a, generate: {now: unix}}` | `{}` | `{"a":1735689600}` |
//! | `{set: body:/a, generate: {now: unix_millis}}` | `{}` | `{"a":1735689600000}` |
//! | `{set: body:/a, generate: {now: rfc3339}}` | `{}` | `{"a":"2025-01-01T00:00:00Z"}` |
//! | `{set: body:/a, generate: {random_hex: 16}}` | `{}` | `{"a":"f3a1..` |
//!
//! # Transforms
//! The value of `with`, or one of its list; see [`Transform`](crate::Transform).
//!
//! | rule | body | becomes |
//! |---|---|---|
//! | `{update: body:/a, with: {coerce: integer}}` | `{"a":"7.0"}` | `{"a":7}` |
//! | `{update: body:/a, with: {coerce: integer}}` | `{"a":7.5}` | `! body:/a must be a number without a fraction` |
//! | `{update: body:/a, with: {coerce: string}}` | `{"a":7}` | `{"a":"7"}` |
//! | `{update: body:/a, with: {coerce: json}}` | `{"a":"{\"b\":1}"}` | `{"a":{"b":1}}` |
//! | `{update: body:/a, with: {coerce: text}}` | `{"a":{"b":1}}` | `{"a":"{\"b\":1}"}` |
//! | `{update: body:/a, with: {clamp: {min: 0, max: 1}}}` | `{"a":1.5}` | `{"a":1}` |
//! | `{update: body:/a, with: {clamp: {exclusive_min: 0, replace_with: 0.01}}}` | `{"a":0}` | `{"a":0.01}` |
//! | `{update: body:/a, with: {validate: {type: string, max_length: 3}}}` | `{"a":"long"}` | `! body:/a must have at most 3 characters` |
//! | `{update: body:/a, with: {validate: {enum: [x, y]}}}` | `{"a":"z"}` | `! body:/a must be one of the values that are allowed` |
//! | `{update: body:/a, with: {map: {table: {low: 1, high: 9}, otherwise: {value: 5}}}}` | `{"a":"mid"}` | `{"a":5}` |
//! | `{update: body:/a, with: {scale: {by: 2, plus: -1}}}` | `{"a":3}` | `{"a":5}` |
//! | `{update: body:/a, with: negate}` | `{"a":false}` | `{"a":true}` |
//! | `{update: body:/a, with: {split: ","}}` | `{"a":"x,y"}` | `{"a":["x","y"]}` |
//! | `{update: body:/a, with: {join: ", "}}` | `{"a":["x",1]}` | `{"a":"x, 1"}` |
//! | `{update: body:/a, with: trim}` | `{"a":" x "}` | `{"a":"x"}` |
//! | `{update: body:/a, with: lower}` | `{"a":"X"}` | `{"a":"x"}` |
//! | `{update: body:/a, with: upper}` | `{"a":"x"}` | `{"a":"X"}` |
//! | `{update: body:/a, with: {regex_replace: {pattern: '^v(\d+)$', by: "$1"}}}` | `{"a":"v12"}` | `{"a":"12"}` |
//! | `{update: body:/a, with: {wrap: always}}` | `{"a":[1]}` | `{"a":[[1]]}` |
//! | `{update: body:/a, with: {wrap: if_scalar}}` | `{"a":[1]}` | `{"a":[1]}` |
//! | `{update: body:/a, with: unwrap}` | `{"a":[1]}` | `{"a":1}` |
//! | `{update: body:/a, with: {get: /b/0}}` | `{"a":{"b":[7]}}` | `{"a":7}` |
//! | `{update: body:/a, with: sum}` | `{"a":[1,2]}` | `{"a":3}` |
//! | `{update: body:/a, with: {lookup: {in: body:/b, key: /id, get: /name}}}` | `{"a":2,"b":[{"id":1,"name":"x"},{"id":2,"name":"y"}]}` | `{"a":"y","b":[{"id":1,"name":"x"},{"id":2,"name":"y"}]}` |
//! | `{update: body:/a, with: {merge_adjacent: {by: role, join: text, separator: " "}}}` | `{"a":[{"role":"u","text":"x"},{"role":"u","text":"y"}]}` | `{"a":[{"role":"u","text":"x y"}]}` |
//! | `{update: body:/a, with: {data_uri: split}}` | `{"a":"data:image/png;base64,AA=="}` | `{"a":{"mime":"image/png","data":"AA=="}}` |
//! | `{update: body:/a, with: {data_uri: build}}` | `{"a":{"mime":"image/png","data":"AA=="}}` | `{"a":"data:image/png;base64,AA=="}` |
//! | `{update: body:/a, with: {hash: sha256}}` | `{"a":"abc"}` | `{"a":"ba78..` |
//! | `{update: body:/a, with: {hmac: {key: "secret:env:KEY"}}}` | `{"a":"abc"}` | `{"a":"9c19..` |
//! | `{update: body:/a, with: {custom: reversed}}` | `{"a":"bc"}` | `{"a":"cb"}` |
//!
//! # Conditions
//! The value of `when` and `keep`; see [`When`](crate::When) and [`Is`](crate::Is).
//!
//! | rule | body | becomes |
//! |---|---|---|
//! | `{remove: body:/a, when: {body:/a: 7.0}}` | `{"a":7}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {eq: {b: 1}}}}` | `{"a":{"b":1}}` | `{}` |
//! | `{remove: body:/a, when: {body:/b: {ne: 1}}}` | `{"a":7}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {in: [6, 7]}}}` | `{"a":7}` | `{}` |
//! | `{remove: body:/a, when: {body:/b: {exists: true}}}` | `{"a":7,"b":null}` | `{"b":null}` |
//! | `{remove: body:/a, when: {body:/b: {missing: true}}}` | `{"a":7}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {"null": true}}}` | `{"a":null}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {gt: 6, lt: 8}}}` | `{"a":7}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {gte: 7, lte: 7}}}` | `{"a":7}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {matches: '^\d+$'}}}` | `{"a":"7"}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {glob: "gpt-*"}}}` | `{"a":"gpt-4o"}` | `{}` |
//! | `{remove: body:/a, when: {body:/a: {type: integer}}}` | `{"a":7.0}` | `{}` |
//! | `{remove: body:/a, when: {any: [{body:/a: 1}, {body:/b: 1}]}}` | `{"a":7,"b":1}` | `{"b":1}` |
//! | `{remove: body:/a, when: {all: [{body:/a: 7}, {not: {body:/b: 2}}]}}` | `{"a":7,"b":1}` | `{"b":1}` |
